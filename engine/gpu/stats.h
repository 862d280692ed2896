/* stats.h -- what a set of measured times says, and when there are enough of them. No device. */
#ifndef HONE_GPU_STATS_H
#define HONE_GPU_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* Quantile q in 0..1 of sorted values, between neighbours by linear interpolation; NaN of none. */
double stats_quantile(const double *sorted, size_t count, double q);

/* Mean of the middle half of sorted values; NaN of none. */
double stats_midmean(const double *sorted, size_t count);

/* Confidence interval of the median from the order statistics: no shape of the distribution is
 * assumed. Positions in 0..count-1; the real confidence is at least `confidence`, and returned;
 * with too few values for it, the interval is all of them. */
double stats_median_interval(size_t count, double confidence, size_t *low, size_t *high);

/* Two-sided p-value of a sign test: `wins` out of `count` fair coin tosses, or more lopsided. */
double stats_sign_test(size_t wins, size_t count);

/* Mean and standard deviation (n - 1) of what was added. */
typedef struct {
  size_t count;
  double mean, squares;
} stats_moments;

void stats_add(stats_moments *moments, double value);
double stats_deviation(const stats_moments *moments);
double stats_relative(const stats_moments *moments); /* deviation / mean; infinity below 2 values */

void stats_sort(double *values, size_t count);

/* Two things timed in pairs: how the first's time relates to the second's. */
typedef enum { STATS_UNDECIDED, STATS_FASTER, STATS_SLOWER, STATS_SAME } stats_verdict;

typedef struct {
  double ratio, low, high; /* median of first / second, and its confidence interval */
  double confidence;       /* in the verdict; of the interval when undecided */
  stats_verdict verdict;
} stats_comparison;

/* Same: the interval lies within 1 +- margin. `scratch` has room for `count` values. */
stats_comparison stats_compare(const double *first, const double *second, size_t count,
                               double confidence, double margin, double *scratch);

/* ---- when to stop -------------------------------------------------------------------------- */

typedef enum { STATS_STOP_NOISE, STATS_STOP_ENTROPY } stats_rule;

typedef struct {
  stats_rule rule;
  double max_noise; /* relative standard deviation that is good enough */
  double min_time;  /* seconds of wall time before the rule has a say */
  double max_time;  /* seconds of wall time after which no more is asked */
  size_t min_samples, max_samples;
} stats_limits;

enum { STATS_WINDOW = 64, STATS_ENTROPY_WINDOW = 128, STATS_BINS = 4096 };

typedef struct {
  stats_limits limits;
  stats_moments moments;
  double noises[STATS_WINDOW];
  double entropies[STATS_ENTROPY_WINDOW];
  unsigned bins[STATS_BINS];   /* a histogram by logarithm of the time, a bin 0.1 % wide */
  double bin_origin, weighted; /* weighted: the sum of c * log2(c) over bins */
  char reason[128];
} stats_stop;

void stats_stop_start(stats_stop *stop, const stats_limits *limits);

/* Count one more measured time; true when there are enough, with `reason` saying why. `wall` is the
 * seconds since the start. */
bool stats_stop_add(stats_stop *stop, double seconds, double wall);

#endif
