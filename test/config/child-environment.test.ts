// What other processes see of the environment. The whole command is tested in test/cli/network-access.test.ts.
import { expect, test } from "vitest";
import { buildVariables, engineVariables } from "../../worker/config/child-environment.ts";
import { SECRET_VARIABLES } from "./secret-variables.ts";

const SYSTEM = {
  PATH: "/bin",
  HOME: "/root",
  TMPDIR: "/tmp",
  LANG: "C",
  LC_ALL: "C",
  LD_LIBRARY_PATH: "/lib",
};
const LIBRARIES = {
  DYLD_LIBRARY_PATH: "/lib",
  CUDA_VISIBLE_DEVICES: "0",
  GGML_METAL_PATH_RESOURCES: "/metal",
  LLAMA_ARG_N_GPU_LAYERS: "20",
  HSA_OVERRIDE_GFX_VERSION: "10.3.0",
  VK_ICD_FILENAMES: "/icd.json",
  OMP_NUM_THREADS: "2",
};
const BUILD = { CC: "clang", CXXFLAGS: "-O2", CMAKE_GENERATOR: "Ninja", SDKROOT: "/sdk" };
const ALL = {
  ...SYSTEM,
  ...LIBRARIES,
  ...BUILD,
  ...Object.fromEntries(SECRET_VARIABLES.map((name) => [name, "canary"])),
};

test("the engine sees what native libraries need, and nothing else", () => {
  expect(engineVariables(ALL)).toEqual({ ...SYSTEM, ...LIBRARIES });
});

test("a build sees what compilers need as well, and nothing else", () => {
  expect(buildVariables(ALL)).toEqual({ ...SYSTEM, ...LIBRARIES, ...BUILD });
});

test("a name that begins like a library's but belongs to a service is not seen", () => {
  const names = ["NVIDIA_API_KEY", "LLAMA_ARG_HF_TOKEN", "LLAMA_API_KEY", "CMAKE_AUTH", "AMD_PASSWORD"];
  expect(buildVariables(Object.fromEntries(names.map((name) => [name, "canary"])))).toEqual({});
});
