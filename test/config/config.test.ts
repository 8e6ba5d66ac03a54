// Configuration: flags before the environment, defaults for the rest, and clear words for what is wrong.
import { mkdtempSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { type Config, HANDLERS, HOME, loadConfig, ownHandlersFolder } from "../../worker/config/config.ts";
import { Environment } from "../../worker/config/environment.ts";
import type { Secret } from "../../worker/config/secret.ts";

const load = (environment: Record<string, string>, flags: Record<string, string> = {}) =>
  loadConfig(flags, environment);

test("without variables everything has its default, and the model is the demo model", () => {
  const config = load({});
  expect(config).toMatchObject({
    slots: undefined,
    prefetch: undefined,
    bucket: "kamado",
    web: { port: 4780, host: "127.0.0.1", token: undefined },
    localPort: 4566,
    queueUrl: undefined,
  });
  expect(config.engine).toMatchObject({ isDemo: true, port: 4781 });
  expect(config.engine.mmproj).toMatch(/kamado-demo-mmproj\.gguf$/);
});

test("your own model does not get the demo model's projector", () => {
  expect(load({ KAMADO_MODEL: "/models/x.gguf" }).engine).toMatchObject({
    model: "/models/x.gguf",
    mmproj: undefined,
    isDemo: false,
  });
});

test("a ~ that no shell has read is the home folder", () => {
  const { dataDir, engine } = load({
    KAMADO_MODEL: "~/m.gguf",
    KAMADO_MMPROJ: "~/e.gguf",
    KAMADO_DATA_DIR: "~",
  });
  expect([engine.model, engine.mmproj]).toEqual([join(homedir(), "m.gguf"), join(homedir(), "e.gguf")]);
  expect([dataDir, load({ KAMADO_MODEL: "~x.gguf" }).engine.model]).toEqual([homedir(), "~x.gguf"]);
  const others = load({
    KAMADO_DESTINATIONS_FILE: "~/d.json",
    KAMADO_RULES_FILE: "~/r.json",
    KAMADO_SCHEDULES_FILE: "~/t.json",
    KAMADO_SCRIPT: "~/s.json",
    KAMADO_CHAT_TEMPLATE: "~/t.jinja",
    KAMADO_LLAMA_SERVER: "~/llama-server",
  });
  const { destinationsFile, rulesFile, schedulesFile, engine: files } = others;
  expect([
    ...[destinationsFile, rulesFile, schedulesFile],
    ...[files.script, files.chatTemplate, files.llamaServer],
  ]).toEqual(
    ["d.json", "r.json", "t.json", "s.json", "t.jinja", "llama-server"].map((name) => join(homedir(), name)),
  );
  const token = join(mkdtempSync(join(tmpdir(), "kamado-token-")), "token");
  writeFileSync(token, "a token of its own");
  const secret = load({ KAMADO_WEB_TOKEN_FILE: `~/${relative(homedir(), token)}` });
  expect([secret.web.token?.reveal(), secret.secretFiles.web]).toEqual(["a token of its own", token]);
});

test("the folder of handlers is a whole path, and is known although another setting is wrong", () => {
  expect(load({ KAMADO_HANDLERS: "~/mine" }).ownHandlers).toBe(join(homedir(), "mine"));
  expect(load({ KAMADO_HANDLERS: "mine" }).ownHandlers).toBe(resolve("mine"));
  // Every file in the folder is run.
  for (const KAMADO_HANDLERS of [HOME, HANDLERS, `${HOME}/`])
    expect(() => load({ KAMADO_HANDLERS })).toThrow("is a folder of Kamado itself");
  expect(load({}).ownHandlers).toBeUndefined();
  const wrong = { KAMADO_WEB_PORT: "many" };
  const file = { path: "/x/kamado.toml", variables: { KAMADO_HANDLERS: "/x/mine" }, warnings: [] };
  expect(ownHandlersFolder(wrong, file)).toBe("/x/mine");
  expect(ownHandlersFolder({ ...wrong, KAMADO_HANDLERS: "/y" }, file)).toBe("/y");
  expect(ownHandlersFolder(wrong, { ...file, variables: {} })).toBeUndefined();
});

test.each([
  ["500M", 500 * 2 ** 20],
  ["1.5G", 1.5 * 2 ** 30],
])("a memory limit of %s is %i bytes", (text, memoryLimit) => {
  expect(load({ KAMADO_MEMORY_LIMIT: text }).engine).toMatchObject({ memoryLimit });
  expect(() => load({ KAMADO_MEMORY_LIMIT: `${text}B` })).toThrow("must be like 500M or 6G");
});

test("a flag takes precedence over the environment, and an empty variable counts as unset", () => {
  expect(load({ KAMADO_SLOTS: "4", KAMADO_BUCKET: "" }, { KAMADO_SLOTS: "2" })).toMatchObject({
    slots: 2,
    bucket: "kamado",
  });
});

test("an engine's address works with and without /v1", () => {
  expect(load({ KAMADO_ENGINE_URL: "http://127.0.0.1:8080/v1/" }).engine.url).toBe("http://127.0.0.1:8080");
});

test("KAMADO_MODEL names the model of another server, where there is one", () => {
  const server = { KAMADO_ENGINE_URL: "http://127.0.0.1:8080" };
  expect(load({ ...server, KAMADO_MODEL: "qwen3:4b" }).engine.remoteModel).toBe("qwen3:4b");
  expect(load(server).engine.remoteModel).toBeUndefined();
  expect(load({ KAMADO_MODEL: "/models/x.gguf" }).engine.remoteModel).toBeUndefined();
});

test("an address for searches is that of a SearXNG, unless another service is named", () => {
  expect(load({}).webSearch).toBeUndefined();
  const url = "http://search.home:8888";
  expect(load({ KAMADO_SEARCH_URL: url }).webSearch).toMatchObject({ provider: "searxng", url });
  const brave = { KAMADO_SEARCH: "brave", KAMADO_SEARCH_KEY: "k3y" };
  expect(load(brave).webSearch).toMatchObject({ provider: "brave", url: undefined });
  expect(load({ ...brave, KAMADO_SEARCH_URL: url }).webSearch).toMatchObject({ provider: "brave", url });
});

test("the wait after a failed job or delivery can be set", () => {
  const config = load({ KAMADO_RETRY_SECONDS: "1", KAMADO_DELIVERY_DELAYS: "0, 1,60" });
  expect(config).toMatchObject({ retrySeconds: 1, deliveryDelaysMs: [0, 1_000, 60_000] });
  expect(load({})).toMatchObject({ retrySeconds: 5, deliveryDelaysMs: undefined });
});

test("what jobs may read besides is a bucket, or a prefix in one", () => {
  const { buckets, inputPrefixes } = load({ KAMADO_BUCKETS: "photos, scans/a/b/, kamado/uploads/,scans/c" });
  expect(buckets).toEqual(["kamado", "photos", "scans"]);
  expect(inputPrefixes).toEqual([
    { bucket: "photos", prefix: "" },
    { bucket: "scans", prefix: "a/b/" },
    { bucket: "kamado", prefix: "uploads/" },
    { bucket: "scans", prefix: "c" },
  ]);
});

describe("the longest run of a job", () => {
  const secondsOf = (variables: Record<string, string>) => {
    const { timeoutSeconds, budgets } = loadConfig({}, variables);
    return [timeoutSeconds, budgets.seconds];
  };

  test("is an hour, and the usual one ten minutes", () => expect(secondsOf({})).toEqual([600, 3_600]));
  test("follows the usual one where that is longer", () =>
    expect(secondsOf({ KAMADO_TIMEOUT_SECONDS: "7200" })).toEqual([7_200, 7_200]));
  test("bounds the usual one where the owner sets it shorter", () =>
    expect(secondsOf({ KAMADO_MAX_JOB_SECONDS: "300" })).toEqual([300, 300]));
});

describe("Cloudflare Access", () => {
  const [TAG, OTHER] = ["a".repeat(64), "b".repeat(64)];
  test.each(["my-team", "My-Team", "my-team.cloudflareaccess.com", "https://my-team.cloudflareaccess.com/"])(
    "knows the team however it is written: %s",
    (team) => {
      const both = { KAMADO_ACCESS_TEAM: team, KAMADO_ACCESS_AUDIENCE: `${TAG}, ${OTHER}` };
      expect(load(both).web.access).toEqual({
        team: "https://my-team.cloudflareaccess.com",
        audiences: [TAG, OTHER],
        readAudiences: [],
      });
    },
  );

  test.each([
    [{ KAMADO_ACCESS_TEAM: "my-team" }, "KAMADO_ACCESS_AUDIENCE"],
    [{ KAMADO_ACCESS_AUDIENCE: TAG }, "KAMADO_ACCESS_TEAM"],
    [{ KAMADO_ACCESS_READ_AUDIENCE: TAG }, "KAMADO_ACCESS_TEAM"],
    [{ KAMADO_ACCESS_TEAM: "https://evil.example", KAMADO_ACCESS_AUDIENCE: TAG }, "KAMADO_ACCESS_TEAM"],
    [{ KAMADO_ACCESS_TEAM: "my-team", KAMADO_ACCESS_AUDIENCE: "kamado" }, "KAMADO_ACCESS_AUDIENCE"],
    [
      { KAMADO_ACCESS_TEAM: "t", KAMADO_ACCESS_AUDIENCE: TAG, KAMADO_ACCESS_READ_AUDIENCE: TAG },
      "KAMADO_ACCESS_READ_AUDIENCE",
    ],
    [{ KAMADO_WEB_TOKEN: "x".repeat(16), KAMADO_WEB_READ_TOKEN: "x".repeat(16) }, "KAMADO_WEB_READ_TOKEN"],
  ])("what lets in too much or nobody is refused: %j", (environment, name) => {
    expect(() => load(environment as unknown as Record<string, string>)).toThrow(
      expect.objectContaining({ code: "config_invalid", message: expect.stringContaining(name) }),
    );
  });
});

describe("a secret", () => {
  const VALUE = "s3cret-s3cret-s3cret";
  const file = () => {
    const path = join(mkdtempSync(join(tmpdir(), "kamado-config-")), "secret");
    writeFileSync(path, `${VALUE}\n`);
    return path;
  };
  // The secrets of destinations have files of their own: see the tests of the destinations file.
  const SECRETS: [string, (config: Config) => Secret | undefined][] = [
    ["KAMADO_ENGINE_TOKEN", ({ engine }) => engine.token],
    ["KAMADO_SEARCH_KEY", ({ webSearch }) => webSearch?.key],
    ["KAMADO_WEB_TOKEN", ({ web }) => web.token],
    ["KAMADO_WEB_READ_TOKEN", ({ web }) => web.readToken],
    ["KAMADO_LOCAL_KEY", ({ localKey }) => localKey],
    ["HF_TOKEN", ({ huggingFace }) => huggingFace.token],
    ["AWS_SECRET_ACCESS_KEY", ({ aws }) => aws.credentials?.secretAccessKey],
    ["AWS_SESSION_TOKEN", ({ aws }) => aws.credentials?.sessionToken],
  ];

  /** A key is of no use without the service that it is for. */
  const besides = (name: string) => (name === "KAMADO_SEARCH_KEY" ? { KAMADO_SEARCH: "brave" } : {});

  test.each(SECRETS)("may be in a file: %s", (name, of) => {
    const keys = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY_FILE: file() };
    expect(of(load({ ...keys, ...besides(name), [`${name}_FILE`]: file() }))?.reveal()).toBe(VALUE);
  });

  test.each(SECRETS)("does not show when the configuration is printed: %s", (name) => {
    const keys = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: VALUE };
    const config = load({ ...keys, ...besides(name), [`${name}_FILE`]: file() });
    expect(JSON.stringify(config) + inspect(config, { depth: 9 })).not.toContain("s3cret");
  });

  test("is not shown by the error that refuses it", () => {
    expect(() => load({ KAMADO_WEB_TOKEN: "s3cret" })).toThrow(/KAMADO_WEB_TOKEN: must have at least 16/);
    expect(() => load({ KAMADO_WEB_TOKEN: "s3cret" })).not.toThrow(/s3cret/);
  });

  test("without a file the keys of AWS are left to the SDK, which also knows profiles and roles", () => {
    const keys = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: VALUE };
    expect(load(keys).aws.credentials).toBeUndefined();
  });

  test.each(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])(
    "of AWS in a file is used, though the others are none: %s",
    (name) => {
      const all = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "plain", AWS_SESSION_TOKEN: "plain" };
      const { accessKeyId, secretAccessKey, sessionToken } = load({
        ...all,
        [name]: "",
        [`${name}_FILE`]: file(),
      }).aws.credentials!;
      const used = [accessKeyId, secretAccessKey.reveal(), sessionToken?.reveal()];
      expect(used).toEqual(Object.entries(all).map(([one, value]) => (one === name ? VALUE : value)));
    },
  );

  test("for our own engine must be long; another engine's may be short", () => {
    const short = { KAMADO_ENGINE_TOKEN: "s3cret" };
    expect(() => load(short)).toThrow(/^KAMADO_ENGINE_TOKEN: must have at least 16 .*6 characters/);
    const theirs = load({ ...short, KAMADO_ENGINE_URL: "http://127.0.0.1:8080" });
    expect(theirs.engine.token?.reveal()).toBe("s3cret");
  });
});

test.each([
  [{ KAMADO_SLOTS: "many" }, "KAMADO_SLOTS"],
  [{ KAMADO_SLOTS: "0" }, "KAMADO_SLOTS"],
  [{ KAMADO_QUEUE_URL: "kamado-jobs" }, "KAMADO_QUEUE_URL"],
  [{ KAMADO_ENGINE_URL: "http://name:s3cret@engine:8080" }, "KAMADO_ENGINE_URL"],
  [{ KAMADO_ENGINE_URL: "engine" }, "KAMADO_ENGINE_URL"],
  [{ KAMADO_LOCAL_KEY: "short" }, "KAMADO_LOCAL_KEY"],
  [{ KAMADO_LOCAL_KEY: "a key, with/a scope in it" }, "KAMADO_LOCAL_KEY"],
  [{ KAMADO_BUCKETS: "s3://photos/" }, "KAMADO_BUCKETS"],
  [{ KAMADO_TOPIC_ARN: "kamado-results" }, "KAMADO_TOPIC_ARN"],
  [{ KAMADO_BACKEND: "cuda" }, "KAMADO_BACKEND"],
  [{ KAMADO_DELIVERY_DELAYS: "0,soon" }, "KAMADO_DELIVERY_DELAYS"],
  [{ KAMADO_ENGINE_TOKEN_FILE: "/no/such/file" }, "KAMADO_ENGINE_TOKEN_FILE"],
  [{ KAMADO_SEARCH: "google" }, "KAMADO_SEARCH"],
  [{ KAMADO_SEARCH: "searxng" }, "KAMADO_SEARCH_URL"],
  [{ KAMADO_SEARCH: "brave" }, "KAMADO_SEARCH_KEY"],
  [{ KAMADO_SEARCH_KEY: "k3y" }, "KAMADO_SEARCH"],
  [{ KAMADO_SEARCH_URL: "http://owner:s3cret@search.home" }, "KAMADO_SEARCH_URL"],
  [{ KAMADO_SEARCH_URL: "search.home" }, "KAMADO_SEARCH_URL"],
  [{ KAMADO_SEARCH_URL: "http://search.home", KAMADO_SEARCH_PER_MINUTE: "0" }, "KAMADO_SEARCH_PER_MINUTE"],
  [{ AWS_SECRET_ACCESS_KEY_FILE: import.meta.filename }, "AWS_ACCESS_KEY_ID"],
  [{ AWS_SESSION_TOKEN_FILE: import.meta.filename }, "AWS_SESSION_TOKEN_FILE"],
  [{ AWS_ACCESS_KEY_ID_FILE: import.meta.filename }, "AWS_ACCESS_KEY_ID_FILE"],
])("what is wrong is named: %j", (environment, name) => {
  expect(() => load(environment as unknown as Record<string, string>)).toThrow(
    expect.objectContaining({ code: "config_invalid", message: expect.stringContaining(name) }),
  );
});

test.each([
  [{ KAMADO_SLOTS: "many" }, 'KAMADO_SLOTS: must be auto or a whole number from 1 to 256 (got "many")'],
  [{ KAMADO_WEB_PORT: "1.5" }, 'KAMADO_WEB_PORT: must be a whole number from 0 to 65535 (got "1.5")'],
  [
    { KAMADO_LOG_LEVEL: "loud" },
    'KAMADO_LOG_LEVEL: must be one of trace, debug, info, warn, error, silent (got "loud")',
  ],
  [
    { KAMADO_QUEUE_URL: "kamado-jobs" },
    'KAMADO_QUEUE_URL: must be a queue\'s URL, or several like url=weight,url=weight (got "kamado-jobs")',
  ],
  [{ KAMADO_QUEUE_URL: "localhost:4566/q" }, "KAMADO_QUEUE_URL: must be a queue's URL"],
  [
    { KAMADO_QUEUE_URL: "http://q/a=0,http://q/b=1000" },
    "KAMADO_QUEUE_URL: must be a URL, or several like url=9,url=1, each weight a whole number from 1 to 100",
  ],
  [
    { KAMADO_ENGINE_URL: "localhost:8080" },
    "KAMADO_ENGINE_URL: must be an address that begins with http:// or https://",
  ],
  [
    { KAMADO_DELIVERY_DELAYS: "0,soon" },
    "KAMADO_DELIVERY_DELAYS: must be a list like 0,5,300, each part a whole number",
  ],
  [{ KAMADO_TOPIC_ARN: "kamado-results" }, "KAMADO_TOPIC_ARN: must be a topic's ARN"],
])("says in words what is allowed, and what it got: %j", (environment, words) => {
  const error = (() => {
    try {
      return load(environment as unknown as Record<string, string>);
    } catch (thrown) {
      return thrown as Error;
    }
  })();
  expect(error).toMatchObject({ message: expect.stringContaining(words) });
  // Each variable once, and nothing of the checker's own.
  expect((error as Error).message.match(/KAMADO_/g)).toHaveLength(1);
  expect((error as Error).message).not.toMatch(/NaN|expected|Invalid|\.\d\./);
});

test("every setting that has a form says in words what is wrong", () => {
  const wrong = Object.keys(Environment.shape).map((name) => [name, "\u0001 ?"] as const);
  const { error } = Environment.safeParse(Object.fromEntries(wrong));
  expect(error!.issues.map(({ message }) => message).filter((text) => !/^(must|names) /.test(text))).toEqual(
    [],
  );
});

test("neither a secret nor what an address may hold is shown", () => {
  const messageOf = (environment: Record<string, string>) => {
    try {
      load(environment);
      return "";
    } catch (thrown) {
      return (thrown as Error).message;
    }
  };
  expect(messageOf({ KAMADO_WEB_TOKEN: "s3cret" })).toContain("a string of 6 characters");
  const all = [
    messageOf({ KAMADO_LOCAL_KEY: "s3cret s3cret s3cret" }),
    messageOf({ KAMADO_ENGINE_URL: "http://name:s3cret@engine" }),
    messageOf({ KAMADO_QUEUE_URL: "ftp://name:s3cret@engine" }),
    messageOf({ AWS_ENDPOINT_URL: "s3://engine?key=s3cret" }),
  ];
  expect(all.filter((message) => message === "" || message.includes("s3cret"))).toEqual([]);
});

test("the configuration cannot be changed later", () => {
  expect(() => Object.assign(load({}).engine, { port: 1 })).toThrow(TypeError);
});

test("a projector without a model is refused: it would be dropped, and the toy model would answer", () => {
  expect(() => load({ KAMADO_MMPROJ: "mmproj.gguf" })).toThrow(/KAMADO_MMPROJ: .* set KAMADO_MODEL too/);
  const both = { KAMADO_MODEL: "model.gguf", KAMADO_MMPROJ: "mmproj.gguf" };
  expect(load(both).engine.mmproj).toBe("mmproj.gguf");
});
