#include "worker/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static char missing_text[256];

static void note_missing(const char *what) {
  size_t n = strlen(missing_text);
  snprintf(missing_text + n, sizeof missing_text - n, "%s%s (%s)", n ? ", " : "", what,
           strerror(errno));
}

/* ---- system calls ---------------------------------------------------------------------------
 */

/* Never needed by a kernel, all of them ways out of the process. */
static const unsigned refused[] = {
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_perf_event_open,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_pidfd_open,
    SYS_kcmp,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_mount,
    SYS_umount2,
    SYS_unshare,
    SYS_setns,
    SYS_chroot,
    SYS_pivot_root,
    SYS_init_module,
    SYS_reboot,
    SYS_swapon,
    SYS_kexec_load,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_tkill,
    425 /* io_uring_setup: its calls are not filtered */,
    438 /* pidfd_getfd */,
    424 /* pidfd_send_signal */,
};

/* Ways out of the worker's group, which ends as one. Build tools give up where these fail. */
static const unsigned departures[] = {SYS_setsid, SYS_setpgid};

static const int families[] = {AF_INET, AF_INET6, AF_PACKET, AF_NETLINK, AF_VSOCK};

enum { PROGRAM = 256 };

typedef struct {
  struct sock_filter code[PROGRAM];
  unsigned short size;
} Program;

static void emit(Program *p, unsigned short code, uint8_t yes, uint8_t no, uint32_t value) {
  p->code[p->size++] = (struct sock_filter){code, yes, no, value};
}

static void load(Program *p, size_t offset) {
  emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void give(Program *p, uint32_t verdict) {
  emit(p, BPF_RET | BPF_K, 0, 0, verdict);
}

#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
#define ARGUMENT(i) (offsetof(struct seccomp_data, args) + 8 * (i))

/* The number is loaded before, and must be loaded anew after. */
static void refuse_number(Program *p, unsigned number) {
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number);
  give(p, REFUSE);
}

/* Where other programs may be started, they are told that they have left, and have not. */
static void refuse_departures(Program *p, bool may_start) {
  for (size_t i = 0; i < sizeof departures / sizeof *departures; i++) {
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, departures[i]);
    give(p, may_start ? SECCOMP_RET_ERRNO : REFUSE);
  }
}

static void refuse_families(Program *p) {
  enum { N = sizeof families / sizeof *families };
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 2 * N + 2, SYS_socket);
  load(p, ARGUMENT(0));
  for (int i = 0; i < N; i++) {
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)families[i]);
    give(p, REFUSE);
  }
  load(p, offsetof(struct seccomp_data, nr));
}

/* Calls about another process that name the judge: a signal, a limit. */
static void refuse_judge(Program *p, unsigned number) {
  const uint32_t judge = (uint32_t)getppid(), everybody = (uint32_t)-1;
  const uint32_t targets[] = {judge, 0 - judge, everybody};
  enum { N = sizeof targets / sizeof *targets };
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 2 * N + 2, number);
  load(p, ARGUMENT(0));
  for (int i = 0; i < N; i++) refuse_number(p, targets[i]);
  load(p, offsetof(struct seccomp_data, nr));
}

/* Signals go to the worker itself and its own children's group only. */
static void refuse_signals(Program *p, unsigned number) {
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 5, number);
  load(p, ARGUMENT(0));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, (uint32_t)getpid());
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
  give(p, REFUSE);
  load(p, offsetof(struct seccomp_data, nr));
}

/* Threads are made by clone with CLONE_THREAD; clone3 hides its flags in memory, and libraries fall
 * back to clone where it is not there. */
static void refuse_processes(Program *p) {
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3);
  give(p, SECCOMP_RET_ERRNO | ENOSYS);
#ifdef SYS_fork
  refuse_number(p, SYS_fork);
  refuse_number(p, SYS_vfork);
#endif
  refuse_number(p, SYS_execve);
  refuse_number(p, SYS_execveat);
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, SYS_clone);
  load(p, ARGUMENT(0));
  emit(p, BPF_JMP | BPF_JSET | BPF_K, 1, 0, CLONE_THREAD);
  give(p, REFUSE);
  load(p, offsetof(struct seccomp_data, nr));
}

static bool filter_calls(bool may_start) {
#ifdef ARCHITECTURE
  static Program p;
  load(&p, offsetof(struct seccomp_data, arch));
  emit(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
  give(&p, SECCOMP_RET_ERRNO | ENOSYS);
  load(&p, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) refuse_number(&p, refused[i]);
  refuse_departures(&p, may_start);
  refuse_families(&p);
  refuse_judge(&p, SYS_kill);
  refuse_judge(&p, SYS_tgkill);
  refuse_judge(&p, SYS_prlimit64);
  if (!may_start) {
    refuse_signals(&p, SYS_kill);
    refuse_signals(&p, SYS_tgkill);
    refuse_processes(&p);
  }
  give(&p, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {p.size, p.code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
#else
  (void)may_start;
  errno = ENOSYS;
  return false;
#endif
}

/* ---- the rest ------------------------------------------------------------------------------ */

static bool drop_privileges(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0;
}

static void limit(int what, uint64_t value) {
  struct rlimit now;
  if (value == 0 || getrlimit(what, &now) != 0) return;
  if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max) value = now.rlim_max;
  struct rlimit wanted = {value, value};
  if (setrlimit(what, &wanted) != 0) note_missing("a limit");
}

void sandbox_enter(const sandbox_limits *limits, const char **missing) {
  missing_text[0] = '\0';
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(SIGXFSZ, SIG_IGN);  /* writing too much is an error of the write then */
#ifndef __SANITIZE_ADDRESS__ /* which reserves more than any machine has */
  limit(RLIMIT_AS, limits->memory);
#endif
  limit(RLIMIT_FSIZE, limits->file);
  if (!drop_privileges()) note_missing("privileges are kept");
  if (!filter_calls(limits->may_start)) note_missing("system calls are not filtered");
  *missing = missing_text;
}
