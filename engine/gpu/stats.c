#include "stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- describing ---------------------------------------------------------------------------- */

double stats_quantile(const double *sorted, size_t count, double q) {
  if (count == 0) return NAN;
  double position = q * (double)(count - 1);
  size_t below = (size_t)position;
  if (below + 1 >= count) return sorted[count - 1];
  double fraction = position - (double)below;
  return sorted[below] + fraction * (sorted[below + 1] - sorted[below]);
}

double stats_midmean(const double *sorted, size_t count) {
  size_t skipped = count / 4;
  double sum = 0;
  for (size_t i = skipped; i < count - skipped; i++) sum += sorted[i];
  return count ? sum / (double)(count - 2 * skipped) : NAN;
}

/* The logarithm of the probability of k heads in n fair tosses. */
static double log_heads(double k, double n) {
  return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2);
}

/* The interval [x(l), x(n-1-l)] misses the median when at most l values lie on one side of it: with
 * a probability of 2 P(heads <= l). The widest l whose miss is allowed is wanted. */
double stats_median_interval(size_t count, double confidence, size_t *low, size_t *high) {
  *low = 0;
  *high = count ? count - 1 : 0;
  double missed = 0, allowed = (1 - confidence) / 2;
  for (size_t l = 0; 2 * l + 1 < count; l++) {
    double next = missed + exp(log_heads((double)l, (double)count));
    if (next > allowed) break;
    missed = next;
    *low = l;
    *high = count - 1 - l;
  }
  if (missed == 0 && count > 0) missed = exp(log_heads(0, (double)count));
  return count ? 1 - 2 * missed : 0;
}

double stats_sign_test(size_t wins, size_t count) {
  size_t rare = wins < count - wins ? wins : count - wins;
  double p = 0;
  for (size_t k = 0; k <= rare; k++) p += exp(log_heads((double)k, (double)count));
  return p * 2 < 1 ? p * 2 : 1;
}

void stats_add(stats_moments *m, double value) {
  m->count++;
  double distance = value - m->mean;
  m->mean += distance / (double)m->count;
  m->squares += distance * (value - m->mean);
}

double stats_deviation(const stats_moments *m) {
  return m->count < 2 ? 0 : sqrt(m->squares / (double)(m->count - 1));
}

double stats_relative(const stats_moments *m) {
  return m->count < 2 || m->mean == 0 ? INFINITY : stats_deviation(m) / m->mean;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void stats_sort(double *values, size_t count) {
  if (count) qsort(values, count, sizeof *values, compare);
}

static stats_verdict judge(const stats_comparison *c, double margin) {
  if (1 - margin <= c->low && c->high <= 1 + margin) return STATS_SAME;
  if (c->high < 1) return STATS_FASTER;
  return c->low > 1 ? STATS_SLOWER : STATS_UNDECIDED;
}

stats_comparison stats_compare(const double *first, const double *second, size_t count,
                               double confidence, double margin, double *scratch) {
  stats_comparison c = {.verdict = STATS_UNDECIDED};
  size_t low, high, wins = 0, losses = 0;
  for (size_t i = 0; i < count; i++) {
    scratch[i] = second[i] > 0 ? first[i] / second[i] : 1;
    wins += scratch[i] < 1;
    losses += scratch[i] > 1;
  }
  stats_sort(scratch, count);
  c.confidence = stats_median_interval(count, confidence, &low, &high);
  if (count == 0) return c;
  c.ratio = stats_quantile(scratch, count, 0.5);
  c.low = scratch[low];
  c.high = scratch[high];
  if (c.confidence < confidence) return c; /* too few pairs for any verdict */
  c.verdict = judge(&c, margin);
  bool is_sided = c.verdict == STATS_FASTER || c.verdict == STATS_SLOWER;
  if (is_sided) c.confidence = 1 - stats_sign_test(wins, wins + losses);
  return c;
}

/* ---- when to stop -------------------------------------------------------------------------- */

void stats_stop_start(stats_stop *stop, const stats_limits *limits) {
  memset(stop, 0, sizeof *stop);
  stop->limits = *limits;
}

/* The noise has converged when it has not moved by more than this, relatively, over a window. */
static const double NOISE_SETTLED = 0.05;

static bool is_quiet(stats_stop *s) {
  double noise = stats_relative(&s->moments);
  s->noises[s->moments.count % STATS_WINDOW] = noise;
  if (noise <= s->limits.max_noise) {
    snprintf(s->reason, sizeof s->reason, "the noise, %.2f %%, is within %.2f %%", noise * 100,
             s->limits.max_noise * 100);
    return true;
  }
  if (s->moments.count < STATS_WINDOW + s->limits.min_samples) return false;
  stats_moments window = {0};
  for (int i = 0; i < STATS_WINDOW; i++) stats_add(&window, s->noises[i]);
  if (stats_relative(&window) > NOISE_SETTLED) return false;
  snprintf(s->reason, sizeof s->reason, "the noise, %.2f %%, no longer changes", noise * 100);
  return true;
}

static const double BIN_WIDTH = 0.001;

/* Counts the time's bin and returns the entropy of the histogram, in bits:
 * log2(n) - sum(c log2 c) / n, of which the sum is kept up to date. */
static double add_entropy(stats_stop *s, double seconds) {
  double position = log(seconds > 0 ? seconds : 1e-12) / BIN_WIDTH;
  if (s->moments.count == 1) s->bin_origin = position - STATS_BINS / 2;
  double bin = floor(position - s->bin_origin);
  bin = bin < 0 ? 0 : bin >= STATS_BINS ? STATS_BINS - 1 : bin;
  unsigned *count = &s->bins[(size_t)bin];
  if (*count) s->weighted -= *count * log2(*count);
  ++*count;
  s->weighted += *count * log2(*count);
  double n = (double)s->moments.count;
  return log2(n) - s->weighted / n;
}

/* The slope per sample of the line through the last entropies. */
static double entropy_slope(const stats_stop *s) {
  double n = STATS_ENTROPY_WINDOW, mean_x = (n - 1) / 2, mean_y = 0, xy = 0, xx = 0;
  size_t first = s->moments.count + 1; /* the oldest: the ring's next place */
  for (size_t i = 0; i < STATS_ENTROPY_WINDOW; i++) mean_y += s->entropies[i] / n;
  for (size_t i = 0; i < STATS_ENTROPY_WINDOW; i++) {
    double x = (double)i - mean_x;
    xy += x * (s->entropies[(first + i) % STATS_ENTROPY_WINDOW] - mean_y);
    xx += x * x;
  }
  return xy / xx;
}

/* Bits by which a window may still change the entropy: then more samples show nothing new. */
static const double ENTROPY_SETTLED = 0.1;

static bool is_exhausted(stats_stop *s, double seconds) {
  s->entropies[s->moments.count % STATS_ENTROPY_WINDOW] = add_entropy(s, seconds);
  if (s->moments.count < STATS_ENTROPY_WINDOW) return false;
  double change = fabs(entropy_slope(s)) * STATS_ENTROPY_WINDOW;
  if (change > ENTROPY_SETTLED) return false;
  snprintf(s->reason, sizeof s->reason, "the entropy, %.2f bits, no longer grows",
           s->entropies[s->moments.count % STATS_ENTROPY_WINDOW]);
  return true;
}

static bool is_at_limit(stats_stop *s, double wall) {
  if (s->moments.count >= s->limits.max_samples) {
    snprintf(s->reason, sizeof s->reason, "max_samples, %zu, was reached", s->limits.max_samples);
    return true;
  }
  if (wall < s->limits.max_time) return false;
  snprintf(s->reason, sizeof s->reason, "max_time, %g s, was reached", s->limits.max_time);
  return true;
}

bool stats_stop_add(stats_stop *s, double seconds, double wall) {
  stats_add(&s->moments, seconds);
  bool is_settled = s->limits.rule == STATS_STOP_ENTROPY ? is_exhausted(s, seconds) : is_quiet(s);
  bool is_asked = s->moments.count >= s->limits.min_samples && wall >= s->limits.min_time;
  if (is_settled && is_asked) return true;
  return is_at_limit(s, wall);
}
