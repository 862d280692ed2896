/* A driver with two devices, for machines that have none: built as libcuda.so.1. With
 * FAKE_CUDA_ERROR set, cuInit fails as it does where the driver is installed and no device is. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

int cuInit(unsigned flags) {
  (void)flags;
  return getenv("FAKE_CUDA_ERROR") ? 100 : 0;
}

int cuDriverGetVersion(int *version) {
  *version = 12080;
  return 0;
}

int cuGetErrorString(int error, const char **text) {
  *text = error == 100 ? "no CUDA-capable device is detected" : "unknown";
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = 2;
  return 0;
}

int cuDeviceGet(int *device, int index) {
  *device = index;
  return 0;
}

int cuDeviceGetName(char *name, int size, int device) {
  snprintf(name, (size_t)size, "Fake GPU %d", device);
  return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  *bytes = (size_t)(device + 1) << 30;
  return 0;
}

/* Each attribute is its own number, but for the ones with a unit. */
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 13 || attribute == 36 ? attribute * 1000 : attribute;
  return 0;
}
