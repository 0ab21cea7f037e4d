"""The command line: the only room that reads the environment, touches the terminal, chooses exit codes and wires the rest."""
