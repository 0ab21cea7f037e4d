"""Networks of several hosts: VXLAN between them, and what they must agree on in etcd."""

ALIVE = "agent.alive"  # in the run-time directory: the agent's own lock
LEASE = "agent.lease"  # and beside it what it has written: the lease that this host's keys hang on
FILE = "cluster.json"  # in a store: where its etcd is; without it nothing here is ever loaded
