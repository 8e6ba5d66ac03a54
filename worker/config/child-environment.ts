// Which variables of the environment other processes may see. The engine and a build run native code, and the engine does so on data from
// strangers, so they get only what is listed here. Kamado's own settings reach the engine as options. Pure.

export type Variables = Record<string, string | undefined>;

/** The system's own, for any program. A name that ends with `*` stands for all that begin like it. */
const SYSTEM = [
  "PATH HOME USER LOGNAME SHELL TMPDIR TMP TEMP TZ LANG LANGUAGE LC_*",
  "LD_LIBRARY_PATH LD_PRELOAD DYLD_*",
  "XDG_CACHE_HOME XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_DATA_HOME XDG_DATA_DIRS XDG_RUNTIME_DIR",
];
/** Of the libraries that compute: which GPU and how many threads they use, and where their drivers are. */
const LIBRARIES = [
  "GGML_* LLAMA_ARG_* METAL_* MTL_* CUDA_* NVIDIA_* HIP_* HSA_* ROCM_* ROCR_* GPU_* AMD_*",
  "VK_* VULKAN_* MESA_* RADV_* ONEAPI_* SYCL_* ZE_* ZES_* ASCEND_* MUSA_*",
  "OMP_* GOMP_* KMP_* OPENBLAS_* MKL_* VECLIB_* BLIS_* MALLOC_*",
];
/** Of compilers and build tools. */
const BUILD = [
  "CC CXX CPP AR RANLIB CFLAGS CXXFLAGS CPPFLAGS LDFLAGS CUDACXX HIPCXX MAKEFLAGS CMAKE_* CCACHE_*",
  "CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH PKG_CONFIG_PATH",
  "SDKROOT DEVELOPER_DIR MACOSX_DEPLOYMENT_TARGET",
];

/** Of the commands that manage services, which find their user's instance by them. */
const SERVICES = ["DBUS_SESSION_BUS_ADDRESS CONTAINERS_CONF CONTAINER_HOST TERM NO_COLOR"];

/** Some names that begin like those of a library belong to a service: NVIDIA_API_KEY, LLAMA_ARG_HF_TOKEN. */
const SECRET = /TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|KEY/i;

export const engineVariables = (from: Variables) => pick(from, [...SYSTEM, ...LIBRARIES]);
export const serviceVariables = (from: Variables) => pick(from, [...SYSTEM, ...SERVICES]);
export const buildVariables = (from: Variables) => pick(from, [...SYSTEM, ...LIBRARIES, ...BUILD]);

function pick(from: Variables, lists: readonly string[]): Variables {
  const names = lists.flatMap((list) => list.split(" "));
  const isAllowed = (name: string) =>
    names.some((one) => (one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : name === one));
  return Object.fromEntries(Object.entries(from).filter(([name]) => isAllowed(name) && !SECRET.test(name)));
}
