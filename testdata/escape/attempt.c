/* What a container must not be able to do. `attempt NAME [ARGUMENT]` tries it and says how it went: `yes`, or the errno. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *argument = "";
static char zeros[256];

static long unshare_user(void) { return unshare(CLONE_NEWUSER); }
static long unshare_mounts(void) { return unshare(CLONE_NEWNS); }
static long clone_user(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return pid;
}
static long clone3(void) {
    long pid = syscall(SYS_clone3, zeros, 88);
    if (pid == 0) _exit(0);
    return pid;
}
static long enter(void) { return setns(open(argument, O_RDONLY), 0); }
static long mount_tmpfs(void) { return mount("none", "/tmp", "tmpfs", 0, ""); }
static long mount_proc(void) { return mount("none", "/tmp", "proc", 0, ""); }
static long mount_cgroup(void) { return mount("none", "/tmp", "cgroup", 0, "memory"); }
static long remount(void) { return mount("none", argument, NULL, MS_REMOUNT | MS_BIND, NULL); }
static long unmount(void) { return umount2(argument, MNT_DETACH); }
static long pivot(void) { return syscall(SYS_pivot_root, "/tmp", "/tmp"); }
static long open_fs(void) { return syscall(SYS_fsopen, "tmpfs", 0); }
static long tree(void) { return syscall(SYS_open_tree, AT_FDCWD, "/", 1); }
static long keyring(void) { return syscall(SYS_keyctl, 0, -3, 1); }
static long add_key(void) { return syscall(SYS_add_key, "user", "lamella", "x", 1, -2); }
static long request_key(void) { return syscall(SYS_request_key, "user", "lamella", NULL, -2); }
static long load_bpf(void) { return syscall(SYS_bpf, 0, zeros, 8); }
static long perf(void) { return syscall(SYS_perf_event_open, zeros, 0, -1, -1, 0); }
static long fault(void) { return syscall(SYS_userfaultfd, 1); }
static long uring(void) { return syscall(SYS_io_uring_setup, 1, NULL); }
static long handle(void) {
    struct { uint32_t bytes, type; unsigned char id[8]; } root = {8, 1, {2}};
    return syscall(SYS_open_by_handle_at, open("/etc/hosts", O_RDONLY), &root, O_RDONLY);
}
static long kexec(void) { return syscall(SYS_kexec_load, 0, 17, zeros, 0); } /* one segment more than there can be */
static long module(void) { return syscall(SYS_init_module, NULL, 0, ""); }
static long reboot_(void) { return syscall(SYS_reboot, 1, 2, 3, NULL); } /* no magic */
static long ports(void) { return ioperm(0x80, 1, 1); }
static long level(void) { return iopl(3); }
static long clock_(void) {
    struct timespec t = {0, 0};
    return syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t); /* which nobody can set */
}
static long swap(void) { return syscall(SYS_swapon, "/nope", 0); }
static long account(void) { return syscall(SYS_acct, NULL); }
static long kernel_log(void) { return syscall(SYS_syslog, 3, zeros, sizeof zeros); }
static long no_random(void) { return syscall(SYS_personality, 0x0040000); }
static long crypto(void) { return socket(38, SOCK_SEQPACKET, 0); } /* AF_ALG */
static long machine(void) { return socket(40, SOCK_STREAM, 0); }   /* AF_VSOCK */
static long inject(void) { /* type into the terminal of who started it */
    long done = -1;
    for (int fd = 0; fd < 3 && done < 0; fd++) {
        ioctl(fd, TIOCSCTTY, 1);
        done = ioctl(fd, TIOCSTI, "x");
    }
    return done;
}
static long overhear(void) { /* read what is typed at it, through any descriptor that leads there */
    for (int fd = 0; fd < 3; fd++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int again = open(path, O_RDWR | O_NOCTTY);
        if (again >= 0 && isatty(again)) return 0;
    }
    errno = ENOTTY;
    return -1;
}
/* PATH:MAJOR:MINOR: make a node and open it */
static long node(void) {
    char *path = strtok(argument, ":");
    int major = atoi(strtok(NULL, ":")), minor = atoi(strtok(NULL, ":"));
    unlink(path);
    if (mknod(path, S_IFBLK | 0600, makedev(major, minor)) && errno != EEXIST) return -1;
    long fd = open(path, O_RDONLY);
    int why = errno;
    unlink(path);
    errno = why;
    return fd;
}
/* FILE: climb out of a chroot and look for it */
static long climb(void) {
    mkdir("/tmp/cage", 0700);
    int out = open("/", O_RDONLY);
    if (chroot("/tmp/cage") || fchdir(out)) return -1;
    for (int up = 0; up < 64; up++)
        if (chdir("..")) return -1;
    if (chroot(".")) return -1;
    return open(argument, O_RDONLY);
}
/* FILE: for two seconds, look into every other process for a way to it: its root, its directory, its descriptors */
static long spy(void) {
    char path[512];
    for (time_t end = time(NULL) + 2; time(NULL) < end;) {
        DIR *all = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(all));) {
            int pid = atoi(entry->d_name);
            if (pid < 2 || pid == getpid()) continue;
            for (int fd = -2; fd < 40; fd++) {
                if (fd == -2) snprintf(path, sizeof path, "/proc/%d/root%s", pid, argument);
                else if (fd == -1) snprintf(path, sizeof path, "/proc/%d/cwd%s", pid, argument);
                else snprintf(path, sizeof path, "/proc/%d/fd/%d%s", pid, fd, argument);
                long found = open(path, O_RDONLY);
                if (found >= 0) { printf("%s ", path); return found; }
            }
        }
        closedir(all);
    }
    errno = ENOENT;
    return -1;
}
/* INODE: for two seconds, catch the program of every other process, and try to write to it when that has ended */
static long overwrite(void) {
    char path[64];
    errno = ENOENT;
    for (time_t end = time(NULL) + 2; time(NULL) < end;) {
        DIR *all = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(all));) {
            int pid = atoi(entry->d_name);
            if (pid < 2 || pid == getpid()) continue;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            int program = open(path, O_PATH);
            struct stat status;
            if (program < 0 || fstat(program, &status)) continue;
            if (status.st_ino != strtoul(argument, NULL, 10)) { close(program); continue; }
            snprintf(path, sizeof path, "/proc/self/fd/%d", program);
            for (int again = 0; again < 100000; again++) {
                long fd = open(path, O_WRONLY);
                if (fd >= 0) return fd;
            }
            close(program);
        }
        closedir(all);
    }
    return -1;
}

static struct { char *name; long (*work)(void); } table[] = {
    {"unshare-user", unshare_user}, {"unshare-mounts", unshare_mounts}, {"clone-user", clone_user}, {"clone3", clone3},
    {"enter", enter}, {"mount-tmpfs", mount_tmpfs}, {"mount-proc", mount_proc}, {"mount-cgroup", mount_cgroup},
    {"remount", remount}, {"unmount", unmount}, {"pivot", pivot}, {"open-fs", open_fs}, {"tree", tree}, {"keyring", keyring},
    {"add-key", add_key}, {"request-key", request_key}, {"load-bpf", load_bpf}, {"perf", perf}, {"fault", fault},
    {"uring", uring}, {"handle", handle}, {"kexec", kexec}, {"module", module}, {"reboot", reboot_}, {"ports", ports},
    {"level", level}, {"clock", clock_}, {"swap", swap}, {"account", account}, {"kernel-log", kernel_log},
    {"no-random", no_random}, {"crypto", crypto}, {"machine", machine}, {"inject", inject},
    {"overhear", overhear}, {"node", node}, {"climb", climb}, {"spy", spy}, {"overwrite", overwrite},
};

int main(int count, char **words) {
    if (count > 2) argument = words[2];
    for (size_t n = 0; count > 1 && n < sizeof table / sizeof *table; n++)
        if (!strcmp(words[1], table[n].name)) {
            errno = 0;
            if (table[n].work() >= 0) puts("yes");
            else puts(strerrorname_np(errno));
            return 0;
        }
    return 2;
}
