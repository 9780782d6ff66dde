// A stand-in for NVIDIA's driver: a GPU of compute capability 9.0 whose memory is the processor's and whose launches do nothing.
//
// With it a program built with `cuda` compiles every kernel that it would launch, with the real NVRTC and without a GPU, and what
// the processor does for a GPU can be profiled (`perf record`). Numbers that come back are zeros. See `.ci/cuda`.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int Result;
typedef uint64_t Pointer;

enum { OK = 0, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

static long launches, modules;

__attribute__((destructor)) static void report(void) {
    fprintf(stderr, "stand-in for CUDA: %ld kernels compiled, %ld launches\n", modules, launches);
}

// The device.
Result cuInit(unsigned flags) { return OK; }
Result cuDriverGetVersion(int *version) { return *version = 13000, OK; }
Result cuDeviceGetCount(int *count) { return *count = 1, OK; }
Result cuDeviceGet(int *device, int ordinal) { return *device = 0, OK; }
Result cuDeviceGetName(char *name, int len, int device) { return snprintf(name, len, "stand-in for a GPU"), OK; }
Result cuDeviceGetUuid(char *uuid, int device) { return memset(uuid, 1, 16), OK; }
Result cuDeviceGetUuid_v2(char *uuid, int device) { return memset(uuid, 1, 16), OK; }
Result cuDeviceGetPCIBusId(char *id, int len, int device) { return snprintf(id, len, "0000:01:00.0"), OK; }
Result cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = (size_t)80 << 30, OK; }
Result cuMemGetInfo_v2(size_t *free_bytes, size_t *total) { return *free_bytes = *total = (size_t)80 << 30, OK; }

Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
        case 1: case 2: case 3: *value = 1024; break; // threads of a block, in all, x and y
        case 4: *value = 64; break;                    // z
        case 5: *value = 2147483647; break;            // blocks of a grid, x
        case 6: case 7: *value = 65535; break;         // y and z
        case 8: *value = 49152; break;                 // shared memory of a block
        case 10: *value = 32; break;                   // threads of a warp
        case 12: *value = 65536; break;                // registers of a block
        case 16: *value = 132; break;                  // multiprocessors
        case 39: *value = 2048; break;                 // threads of a multiprocessor
        case 75: *value = 9; break;                    // compute capability, major
        case 76: *value = 0; break;                    // and minor
        case 81: *value = 233472; break;               // shared memory of a multiprocessor
        case 97: *value = 232448; break;               // shared memory that a block may ask for
        default: *value = 1;
    }
    return OK;
}

// Contexts, of which there is one.
Result cuDevicePrimaryCtxRetain(void **context, int device) { return *context = (void *)1, OK; }
Result cuDevicePrimaryCtxRelease(int device) { return OK; }
Result cuDevicePrimaryCtxRelease_v2(int device) { return OK; }
Result cuCtxSetCurrent(void *context) { return OK; }
Result cuCtxGetCurrent(void **context) { return *context = (void *)1, OK; }
Result cuCtxGetDevice(int *device) { return *device = 0, OK; }
Result cuCtxSynchronize(void) { return OK; }
Result cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = 0, *greatest = -5, OK; }

// Memory. Reading the device's gives zeros.
Result cuMemAlloc_v2(Pointer *at, size_t bytes) {
    void *memory;
    if (posix_memalign(&memory, 512, bytes + 512)) return OUT_OF_MEMORY;
    return *at = (Pointer)memory, OK;
}
Result cuMemFree_v2(Pointer at) { return free((void *)at), OK; }
Result cuMemAllocAsync(Pointer *at, size_t bytes, void *stream) { return cuMemAlloc_v2(at, bytes); }
Result cuMemFreeAsync(Pointer at, void *stream) { return cuMemFree_v2(at); }
Result cuMemAllocHost_v2(void **at, size_t bytes) { return (*at = malloc(bytes + 64)) ? OK : OUT_OF_MEMORY; }
Result cuMemFreeHost(void *at) { return free(at), OK; }
Result cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, void *stream) {
    return memcpy((void *)to, from, bytes), OK;
}
Result cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, void *stream) { return memset(to, 0, bytes), OK; }
Result cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void *stream) { return OK; }
Result cuMemcpy2DAsync_v2(const void *copy, void *stream) { return OK; }

// Streams and events.
Result cuStreamCreate(void **stream, unsigned flags) { return *stream = (void *)2, OK; }
Result cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) { return *stream = (void *)2, OK; }
Result cuStreamDestroy_v2(void *stream) { return OK; }
Result cuStreamSynchronize(void *stream) { return OK; }
Result cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return OK; }
Result cuEventCreate(void **event, unsigned flags) { return *event = malloc(sizeof(struct timespec)), OK; }
Result cuEventRecord(void *event, void *stream) { return clock_gettime(CLOCK_MONOTONIC, event), OK; }
Result cuEventSynchronize(void *event) { return OK; }
Result cuEventQuery(void *event) { return OK; }
Result cuEventDestroy_v2(void *event) { return free(event), OK; }
Result cuEventElapsedTime_v2(float *ms, const struct timespec *start, const struct timespec *end) {
    *ms = (end->tv_sec - start->tv_sec) * 1e3f + (end->tv_nsec - start->tv_nsec) * 1e-6f;
    return OK;
}
Result cuEventElapsedTime(float *ms, const struct timespec *start, const struct timespec *end) {
    return cuEventElapsedTime_v2(ms, start, end);
}

// Kernels: what NVRTC made is counted, and goes into the folder `STAND_IN_PTX` where there is one.
Result cuModuleLoadData(void **module, const char *ptx) {
    const char *folder = getenv("STAND_IN_PTX");
    modules++;
    if (folder) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%04ld.ptx", folder, modules);
        FILE *file = fopen(path, "w");
        if (file) fputs(ptx, file), fclose(file);
    }
    return *module = (void *)3, OK;
}
Result cuModuleUnload(void *module) { return OK; }
Result cuModuleGetFunction(void **function, void *module, const char *name) { return *function = (void *)4, OK; }
Result cuFuncSetAttribute(void *function, int attribute, int value) { return OK; }
Result cuFuncGetAttribute(int *value, int attribute, void *function) { return *value = 0, OK; }
Result cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned dx, unsigned dy, unsigned dz,
                      unsigned shared, void *stream, void **args, void **extra) {
    return launches++, OK;
}

// Asked for by name, and what there is not.
Result cuGetErrorName(int error, const char **name) { return *name = "error", OK; }
Result cuGetErrorString(int error, const char **text) { return *text = "an error of the stand-in", OK; }
Result cuGetExportTable(const void **table, const void *id) { return *table = 0, NOT_FOUND; }
