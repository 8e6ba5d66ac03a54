// kamado.toml: where it is found, how it is read, and what is said about what is wrong in it.
import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { findConfigFile, unknownVariables } from "../../worker/config/config-file.ts";
import { Environment } from "../../worker/config/environment.ts";

const folder = () => mkdtempSync(join(tmpdir(), "kamado-file-"));
function write(path: string, text: string, mode = 0o600): void {
  writeFileSync(path, text);
  chmodSync(path, mode);
}
const read = (text: string, mode?: number) => {
  const place = folder();
  write(join(place, "kamado.toml"), text, mode);
  return findConfigFile(place, {})!;
};
/** The configuration with this file, in an environment. */
const load = (text: string, environment: Record<string, string> = {}, flags: Record<string, string> = {}) =>
  loadConfig(flags, environment, read(text));

test("the nearest file from the current folder upwards counts, else the user's own", () => {
  const [top, home] = [folder(), folder()];
  const inner = join(top, "a", "b");
  mkdirSync(inner, { recursive: true });
  mkdirSync(join(home, "kamado"));
  const slots = () => findConfigFile(inner, { XDG_CONFIG_HOME: home })?.variables.KAMADO_SLOTS;
  expect(slots()).toBeUndefined();
  write(join(home, "kamado", "kamado.toml"), "slots = 1");
  expect(slots()).toBe("1");
  write(join(top, "kamado.toml"), "slots = 2");
  expect(slots()).toBe("2");
  write(join(inner, "kamado.toml"), "slots = 3");
  expect(slots()).toBe("3");
});

test.each([
  ["a folder", (path: string) => mkdirSync(path), "it is a folder"],
  [
    "a link to nothing",
    (path: string) => symlinkSync("nowhere", path),
    "it is a link to a file that is not there",
  ],
  ["a link to itself", (path: string) => symlinkSync(path, path), "it cannot be read (ELOOP)"],
  ["a device", (path: string) => symlinkSync("/dev/null", path), "it is no file"],
])("a kamado.toml that is %s is ignored, and that is said", (_, make, why) => {
  const [top, home] = [folder(), folder()];
  const inner = join(top, "a");
  mkdirSync(inner);
  make(join(inner, "kamado.toml"));
  const warnings = [`${join(inner, "kamado.toml")} is ignored: ${why}.`];
  expect(findConfigFile(inner, { XDG_CONFIG_HOME: home })).toMatchObject({ variables: {}, warnings });
  write(join(top, "kamado.toml"), "slots = 2");
  expect(findConfigFile(inner, { XDG_CONFIG_HOME: home })).toMatchObject({
    variables: { KAMADO_SLOTS: "2" },
    warnings,
  });
});

test("a flag takes precedence over the environment, the environment over the file, the file over the default", () => {
  const file = 'slots = 2\nbucket = "in-file"\nmax_attempts = 3';
  const environment = { KAMADO_SLOTS: "4", KAMADO_BUCKET: "in-environment", KAMADO_MAX_ATTEMPTS: "" };
  expect(load(file, environment, { KAMADO_SLOTS: "8" })).toMatchObject({
    slots: 8,
    bucket: "in-environment",
    maxAttempts: 3,
    retrySeconds: 5,
  });
});

test("a secret's file in the environment takes precedence over the secret in kamado.toml, and the other way round", () => {
  const path = join(folder(), "token");
  write(path, "from-the-file-named\n");
  const inToml = 'web_token = "from-kamado-toml-itself"';
  expect(load(inToml, { KAMADO_WEB_TOKEN_FILE: path }).web.token?.reveal()).toBe("from-the-file-named");
  const named = load(`web_token_file = "${path}"`, { KAMADO_WEB_TOKEN: "from-the-environment" });
  expect(named.web.token?.reveal()).toBe("from-the-environment");
  expect(load(`web_token_file = "${path}"`).web.token?.reveal()).toBe("from-the-file-named");
});

test("keys of AWS in the file reach the SDK, which reads only the environment", () => {
  const file = 'aws_access_key_id = "AKIA"\n[aws]\nsecret_access_key = "s3cret"';
  expect(load(file).aws.credentials?.secretAccessKey.reveal()).toBe("s3cret");
});

test.each([
  "max_attempts = 7",
  "max-attempts = 7",
  "MAX_ATTEMPTS = 7",
  "KAMADO_MAX_ATTEMPTS = 7",
  'max_attempts = "7"',
  "[max]\nattempts = 7",
  "\ufeffmax_attempts = 7",
  "# seven\r\nmax_attempts = 7\r\n",
])("a setting may be written as %j", (text) => expect(load(text).maxAttempts).toBe(7));

test("what may be used in a day is a table, whose keys are names", () => {
  const text = `[budgets.all]
seconds = 7200
[budgets.tenants."*"]
jobs = 10
[budgets.tenants.acme]
tokens = 1_000_000
[budgets.tenants.acme.kinds."image.check"]
jobs = 5`;
  const expected = {
    all: { seconds: 7_200 },
    tenants: { "*": { jobs: 10 }, acme: { tokens: 1_000_000, kinds: { "image.check": { jobs: 5 } } } },
  };
  expect(load(text).dayBudgets).toEqual(expected);
  expect(load("", { KAMADO_BUDGETS: JSON.stringify(expected) }).dayBudgets).toEqual(expected);
  const path = join(folder(), "budgets.json");
  write(path, JSON.stringify(expected));
  expect(load("", { KAMADO_BUDGETS_FILE: path }).dayBudgets).toEqual(expected);
  expect(load("").dayBudgets).toEqual({});
});

test.each([
  [
    "[budgets.tenants.acme]\njobs = -1",
    /KAMADO_BUDGETS: tenants\.acme\.jobs: must be a whole number from 0 on/,
  ],
  ["[budgets.tenants.acme]\njob = 1", /KAMADO_BUDGETS: tenants\.acme: .*"job"/],
  ["budgets = 'none'", /KAMADO_BUDGETS: must be JSON/],
])("a budget of a day that cannot be meant is refused by its name: %j", (text, message) => {
  expect(() => load(text)).toThrow(message);
});

test("a list may be a list", () => {
  const config = load('buckets = ["photos", "scans/a/"]\ndelivery_delays = [0, 5]');
  expect(config.buckets).toEqual(["kamado", "photos", "scans"]);
  expect(config.deliveryDelaysMs).toEqual([0, 5_000]);
});

test("paths are seen from the file, and ~ is the home folder; a model may be a name", () => {
  const place = folder();
  write(join(place, "model.gguf"), "");
  const path = join(place, "kamado.toml");
  const at = (text: string) => {
    write(path, text);
    return loadConfig({}, {}, findConfigFile(place, {}));
  };
  expect(at('model = "model.gguf"').engine.model).toBe(join(place, "model.gguf"));
  expect(at('model = "./none.gguf"').engine.model).toBe(join(place, "none.gguf"));
  expect(at('model = "gemma-3-4b"').engine.model).toBe("gemma-3-4b");
  expect(at('model = "gemma"\nmmproj = "~/mmproj.gguf"').engine.mmproj).toBe(join(homedir(), "mmproj.gguf"));
  expect(at('data_dir = "data"\nhandlers = "mine"\nrules_file = "rules.json"')).toMatchObject({
    dataDir: join(place, "data"),
    ownHandlers: join(place, "mine"),
    rulesFile: join(place, "rules.json"),
  });
});

test.each([
  ["max_atempts = 7", 'there is no setting "max_atempts"; did you mean max_attempts?'],
  ["KAMADO_MAX_ATEMPTS = 7", "did you mean KAMADO_MAX_ATTEMPTS?"],
  ['web_tokn_file = "x"', "did you mean web_token_file?"],
  ["[engine]\nprot = 1", 'there is no setting "engine_prot"; did you mean engine_port?'],
  ["colour = 1", 'there is no setting "colour"; docs/settings.md lists all'],
  ["slots = true", '"slots" must be a text, a number or a list of them'],
  ["slots = [[1]]", '"slots" must be a text, a number or a list of them'],
  ["slots = 1\nSLOTS = 2", '"SLOTS" is set twice'],
  ["slots = 1\nslots = 2", "line 2, column 1"],
  ["slots = \n", "line 1, column"],
])("what is wrong in it is named, with the file: %j", (text, words) => {
  expect(() => read(text)).toThrow(
    expect.objectContaining({ code: "config_invalid", message: expect.stringContaining(words) }),
  );
  expect(() => read(text)).toThrow(/kamado\.toml: /);
});

test("a file that is no TOML is not quoted: the line may hold a secret", () => {
  expect(() => read('web_token = "s3cret-s3cret')).toThrow(/line 1/);
  expect(() => read('web_token = "s3cret-s3cret')).not.toThrow(/s3cret/);
});

test("a wrong value says in which file it is", () => {
  expect(() => load("slots = 1000")).toThrow(/KAMADO_SLOTS: must be .* \(got "1000", in .*kamado\.toml\)/);
  expect(() => load("slots = 4", { KAMADO_SLOTS: "x" })).toThrow(/\(got "x"\)$/);
});

test.each([
  [0o600, 0],
  [0o644, 1],
  [0o640, 1],
])("a file with a secret and the mode %o asks for 0600, another does not", (mode, count) => {
  expect(read('web_token = "s3cret-s3cret-s3cret"', mode).warnings).toHaveLength(count);
  expect(read("slots = 1", mode).warnings).toEqual([]);
  if (count > 0)
    expect(read('local_key = "s3cret-s3cret-s3"', mode).warnings[0]).toMatch(/KAMADO_LOCAL_KEY.*chmod 600/);
});

test("a file that everybody can write is not used, and that is said", () => {
  const found = read('llama_server = "/tmp/theirs"', 0o666);
  expect(found.variables).toEqual({});
  expect(found.warnings[0]).toMatch(/kamado\.toml is ignored: everybody may write to it/);
});

test("a link to a file counts as the file", () => {
  const [other, target] = [folder(), join(folder(), "mine.toml")];
  write(target, "slots = 1");
  symlinkSync(target, join(other, "kamado.toml"));
  expect(findConfigFile(other, {})?.variables).toEqual({ KAMADO_SLOTS: "1" });
});

test.each([
  ["KAMADO_SLOT", "KAMADO_SLOTS"],
  ["KAMADO_ENGINE_TOKN_FILE", "KAMADO_ENGINE_TOKEN_FILE"],
  ["KAMADO_MODLE", "KAMADO_MODEL"],
  ["KAMADO_QUEUEURL", "KAMADO_QUEUE_URL"],
])("a mistyped variable is named with the nearest one: %s", (name, nearest) => {
  expect(unknownVariables({ [name]: "1" })).toEqual([
    `${name} is ignored: there is no such variable; did you mean ${nearest}?`,
  ]);
  expect(loadConfig({}, { [name]: "1" }).warnings).toHaveLength(1);
});

test("no variable that exists is named, nor those of Kamado's own tests, nor another program's", () => {
  const names = Object.keys(Environment.shape).flatMap((name) => [name, `${name}_FILE`]);
  const others = ["KAMADO_TEST_AWS", "PATH", "kamado_x", "MY_KAMADO_SLOTS"];
  expect(unknownVariables(Object.fromEntries([...names, ...others].map((name) => [name, "1"])))).toEqual([]);
});

test("the settings of Hugging Face keep their own names, and its token is a secret like others", () => {
  const { huggingFace } = load('hf_endpoint = "https://mirror.home/hf/"\nhf_token = "hf_secret"');
  expect([huggingFace.endpoint, huggingFace.token?.reveal()]).toEqual([
    "https://mirror.home/hf",
    "hf_secret",
  ]);
  expect(read('hf_token = "hf_secret"', 0o644).warnings[0]).toContain(
    "holds HF_TOKEN, and others may read it",
  );
  expect(load("").huggingFace).toEqual({ endpoint: "https://huggingface.co", token: undefined });
});
