// What llama.cpp's builds print when they cannot load a model, and what becomes of it. The lines are recorded.
import { describe, expect, test } from "vitest";
import { loadFailure } from "../../worker/engine/load-failure.ts";

describe("files that the library refuses are refused for good, with their setting and the library's reason:", () => {
  test.each([
    [
      "KAMADO_MODEL",
      "unknown model architecture: 'qwenX'",
      "llama_model_load: error loading model: unknown model architecture: 'qwenX'",
    ],
    [
      "KAMADO_MODEL",
      "missing tensor 'blk.0.attn_q.weight'",
      "llama_model_load: error loading model: missing tensor 'blk.0.attn_q.weight'",
    ],
    [
      "KAMADO_MODEL",
      "check_tensor_dims: tensor 'blk.0.attn_q.weight' not found",
      "llama_model_load: error loading model: check_tensor_dims: tensor 'blk.0.attn_q.weight' not found",
    ],
    [
      "KAMADO_MODEL",
      "unknown pre-tokenizer type: 'new-bpe'",
      "llama_model_load: error loading model: error loading model vocabulary: unknown pre-tokenizer type: 'new-bpe'",
    ],
    [
      "KAMADO_MODEL",
      "key not found in model: qwen2.context_length",
      "llama_model_load: error loading model: error loading model hyperparameters: key not found in model: qwen2.context_length",
    ],
    [
      "KAMADO_MMPROJ",
      "mismatch between text model",
      "mtmd_init_from_file: error: mismatch between text model (n_embd = 64) and mmproj (n_embd = 128)",
    ],
    [
      "KAMADO_MMPROJ",
      "unknown projector type",
      "clip_init: failed to load model 'eyes.gguf': load_hparams: unknown projector type: new",
    ],
  ])("%s: %s", (variable, why, line) => {
    const failure = loadFailure("exit code 1", [
      "load_backend: loaded",
      line,
      "srv load_model: failed to load model, 'm.gguf'",
    ]);
    expect(failure).toMatchObject({ code: "config_invalid", retry: false });
    expect(failure.message).toContain(`${variable}: `);
    expect(failure.message).toContain(why);
  });
});

describe("what memory may be short for is tried again, and the hint says what needs less:", () => {
  test.each([
    [
      "exit code 1",
      "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 2147483648",
    ],
    ["exit code 1", "llama_model_load: error loading model: unable to allocate CPU buffer"],
    ["exit code 1", "ggml_metal_buffer_init: error: failed to allocate buffer, size =  4096.00 MiB"],
    [
      "exit code 1",
      "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 512.00 MiB on device 0: cudaMalloc failed: out of memory",
    ],
    ["SIGABRT", "terminate called after throwing an instance of 'std::bad_alloc'"],
    ["A context size of 8192 is too large for the available VRAM", ""],
    ["SIGKILL", ""],
  ])("%s, %s", (how, line) => {
    expect(loadFailure(how, [line].filter(Boolean))).toMatchObject({
      code: "engine_unavailable",
      retry: true,
      hint: expect.stringContaining("smaller model"),
    });
  });
});

test("anything else is tried again with what is known", () => {
  const failure = loadFailure("exit code 1", [
    "llama_model_load: error loading model: read error: Input/output error",
  ]);
  expect(failure).toMatchObject({ code: "engine_unavailable", retry: true });
  expect(failure.message).toContain("Input/output error");
});
