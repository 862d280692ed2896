#include "clocks.h"

#include <pthread.h>
#include <stdio.h>

#include "library.h"

typedef struct nvmlDevice_st *nvmlDevice;

enum { CLOCK_SM = 1 };

static struct nvml {
  int (*init)(void);
  int (*device_by_bus)(const char *bus_id, nvmlDevice *device);
  int (*clock)(nvmlDevice device, int type, unsigned *megahertz);
  int (*max_clock)(nvmlDevice device, int type, unsigned *megahertz);
} nvml;

static const gpu_symbol symbols[] = {
    {"nvmlInit_v2", offsetof(struct nvml, init), false},
    {"nvmlDeviceGetHandleByPciBusId_v2", offsetof(struct nvml, device_by_bus), false},
    {"nvmlDeviceGetClockInfo", offsetof(struct nvml, clock), false},
    {"nvmlDeviceGetMaxClockInfo", offsetof(struct nvml, max_clock), false},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_open;
static nvmlDevice handles[GPU_MAX_DEVICES]; /* by ordinal; NULL: not yet asked for */

static void open_nvml(void) {
  static const char *const files[] = {"libnvidia-ml.so.1", NULL};
  void *handle = gpu_library_open(files, NULL);
  if (!handle) return;
  if (gpu_library_bind(handle, symbols, sizeof symbols / sizeof *symbols, &nvml)) return;
  is_open = nvml.init() == 0;
}

/* NVML counts devices in its own order: the bus tells which is which. */
static nvmlDevice find(const gpu_device *device) {
  pthread_once(&once, open_nvml);
  if (!is_open) return NULL;
  nvmlDevice *slot = &handles[device->ordinal];
  if (*slot) return *slot;
  char bus[32];
  snprintf(bus, sizeof bus, "%08X:%02X:%02X.0",
           (unsigned)gpu_attribute(device, DEVICE_PCI_DOMAIN_ID),
           (unsigned)gpu_attribute(device, DEVICE_PCI_BUS_ID),
           (unsigned)gpu_attribute(device, DEVICE_PCI_DEVICE_ID));
  if (nvml.device_by_bus(bus, slot) != 0) *slot = NULL;
  return *slot;
}

int clocks_sm(const gpu_device *device) {
  nvmlDevice handle = find(device);
  unsigned megahertz = 0;
  return handle && nvml.clock(handle, CLOCK_SM, &megahertz) == 0 ? (int)megahertz : 0;
}

int clocks_sm_max(const gpu_device *device) {
  static unsigned known[GPU_MAX_DEVICES]; /* asked for once: it is the device's own */
  unsigned *megahertz = &known[device->ordinal];
  nvmlDevice handle = *megahertz ? NULL : find(device);
  if (handle && nvml.max_clock(handle, CLOCK_SM, megahertz) != 0) *megahertz = 0;
  return (int)*megahertz;
}
