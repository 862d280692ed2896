/* parallel.c -- a few threads that wait for loops. They are started by the first large one; this is
 * the only state of its kind in the room. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>
#include "tensor/parallel.h"

#define MAX_THREADS 256
#define PIECES_PER_THREAD 4 /* so that a thread that was held up does not hold up the rest */

static struct {
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t wake, done;
  pid_t process;   /* whose threads they are: a fork has none */
  int workers;     /* started */
  int wanted;      /* threads a loop runs on; 0: not asked yet */
  unsigned ticket; /* grows by one a loop */
  int invited;     /* workers that may still join the present loop */
  int running;     /* workers in it */
  parallel_body *body;
  void *context;
  int64_t count, piece;
  _Atomic int64_t next;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static _Thread_local bool inside; /* this thread is in a body: what it starts runs alone */
static atomic_flag busy = ATOMIC_FLAG_INIT;

static int cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

int parallel_threads(void) {
  pthread_mutex_lock(&pool.lock);
  if (pool.wanted == 0) pool.wanted = cores() < MAX_THREADS ? cores() : MAX_THREADS;
  int threads = pool.wanted;
  pthread_mutex_unlock(&pool.lock);
  return threads;
}

void parallel_set_threads(int threads) {
  pthread_mutex_lock(&pool.lock);
  pool.wanted = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
  pthread_mutex_unlock(&pool.lock);
}

static void take_pieces(void) {
  inside = true;
  for (;;) {
    int64_t begin = atomic_fetch_add(&pool.next, pool.piece);
    if (begin >= pool.count) break;
    int64_t end = pool.count - begin < pool.piece ? pool.count : begin + pool.piece;
    pool.body(pool.context, begin, end);
  }
  inside = false;
}

static void *work(void *argument) {
  unsigned seen = *(unsigned *)argument;
  pthread_mutex_lock(&pool.lock);
  for (;;) {
    while (pool.ticket == seen || pool.invited == 0) pthread_cond_wait(&pool.wake, &pool.lock);
    seen = pool.ticket;
    pool.invited--;
    pool.running++;
    pthread_mutex_unlock(&pool.lock);
    take_pieces();
    pthread_mutex_lock(&pool.lock);
    if (--pool.running == 0) pthread_cond_signal(&pool.done);
  }
  return NULL;
}

/* Workers up to n, as many as the system gives. The lock is held. Signals stay the host's. */
static void start_workers(int n) {
  static unsigned never = 0; /* tickets start at 1 */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (pthread_t thread; pool.workers < n; pool.workers++) {
    if (pthread_create(&thread, NULL, work, &never) != 0) break;
    pthread_detach(thread);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_together(int64_t count, int64_t piece, int threads, parallel_body *body,
                         void *context) {
  pthread_mutex_lock(&pool.lock);
  if (pool.process != getpid()) pool.workers = 0, pool.process = getpid();
  start_workers(threads - 1);
  pool.body = body, pool.context = context, pool.count = count, pool.piece = piece;
  atomic_store(&pool.next, 0);
  pool.ticket++;
  pool.invited = threads - 1 < pool.workers ? threads - 1 : pool.workers;
  pthread_cond_broadcast(&pool.wake);
  pthread_mutex_unlock(&pool.lock);
  take_pieces();
  pthread_mutex_lock(&pool.lock);
  pool.invited = 0;
  while (pool.running > 0) pthread_cond_wait(&pool.done, &pool.lock);
  pthread_mutex_unlock(&pool.lock);
}

void parallel_for(int64_t count, int64_t grain, parallel_body *body, void *context) {
  if (count <= 0) return;
  int64_t threads = count <= grain || inside ? 1 : parallel_threads();
  if (threads > (count + grain - 1) / grain) threads = (count + grain - 1) / grain;
  if (threads <= 1 || atomic_flag_test_and_set(&busy)) {
    body(context, 0, count);
    return;
  }
  int64_t pieces = threads * PIECES_PER_THREAD;
  int64_t piece = (count + pieces - 1) / pieces;
  run_together(count, piece < grain ? grain : piece, (int)threads, body, context);
  atomic_flag_clear(&busy);
}
