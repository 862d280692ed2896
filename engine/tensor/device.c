/* device.c -- where tensors lie, and moving them from one place to another. */
#include <stdio.h>
#include "tensor/device.h"
#include "tensor/pending.h"

static _Atomic(const device_functions *) registered;

void device_register(const device_functions *functions) {
  atomic_store(&registered, functions);
}

const device_functions *device_functions_get(void) {
  return atomic_load(&registered);
}

static void device_text(int device, char text[16]) {
  if (device == DEVICE_CPU)
    snprintf(text, 16, "the CPU");
  else
    snprintf(text, 16, "cuda:%d", device);
}

int tensor_common_device(int *device, const char *name, int n, const tensor *const *operands,
                         tensor_error *error) {
  const tensor *decides = operands[0];
  for (int i = 1; i < n; i++)
    if (tensor_is_on_cpu(decides) && decides->rank == 0) decides = operands[i];
  *device = decides->storage->device;
  for (int i = 0; i < n; i++) {
    const tensor *t = operands[i];
    bool is_number = tensor_is_on_cpu(t) && t->rank == 0;
    if (t->storage->device == *device || is_number) continue;
    char here[16], there[16], text[TENSOR_TEXT];
    device_text(*device, here);
    device_text(t->storage->device, there);
    return tensor_fail(error, TENSOR_DEVICE,
                       "cannot %s tensors of two devices: %s lies on %s, not on %s; move it with "
                       "to()",
                       name, tensor_describe(t, text), there, here);
  }
  return 0;
}

/* ---- moving -----------------------------------------------------------------------------------
 */

static size_t first_byte(const tensor *t) {
  return (size_t)t->offset * dtype_size(t->dtype);
}

/* Contiguous elements from one device to another, or from or to the CPU. */
static int move_bytes(const tensor *to, const tensor *from, tensor_error *error) {
  const device_functions *d = device_functions_get();
  size_t bytes = tensor_bytes(from);
  if (bytes == 0) return 0;
  if (tensor_is_on_cpu(from))
    return d->upload(to->storage, first_byte(to), tensor_data(from), bytes, error);
  if (tensor_is_on_cpu(to))
    return d->download(tensor_data(to), from->storage, first_byte(from), bytes, error);
  return d->transfer(to->storage, first_byte(to), from->storage, first_byte(from), bytes, error);
}

int tensor_to_device(tensor *out, const tensor *t, int device, tensor_error *error) {
  tensor whole, made = {0};
  if (t->storage->device == device) {
    tensor_share(out, t);
    return 0;
  }
  bool may_wait = pending_allow(false);
  int code = storage_settle(t->storage, error);
  if (!code) code = tensor_contiguous(&whole, t, error);
  pending_allow(may_wait);
  if (code) return code;
  code = tensor_empty(&made, t->dtype, device, t->rank, t->shape, error);
  if (!code) code = move_bytes(&made, &whole, error);
  tensor_release(&whole);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

int tensor_to_cpu(tensor *out, const tensor *t, tensor_error *error) {
  return tensor_to_device(out, t, DEVICE_CPU, error);
}
