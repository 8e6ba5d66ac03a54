// Receivers, ports, services and the Podman machine.
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import {
  destinationFindings,
  podmanFinding,
  portFindings,
  serviceFindings,
} from "../../worker/doctor/surroundings.ts";
import { awsServer } from "../fakes/aws-server.ts";
import { fakeMachine } from "./machines.ts";

async function listening(): Promise<{ port: number; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer((socket) =>
    socket.on("data", (data) => heard.push(String(data))).on("error", () => {}),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, heard };
}

function file(entries: unknown): string {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-doctor-")), "destinations.json");
  writeFileSync(path, JSON.stringify(entries));
  return path;
}

describe("destinations", () => {
  test("each receiver is connected to once under the project's own rules, and is sent nothing", async () => {
    const { port, heard } = await listening();
    const at = `http://127.0.0.1:${port}`;
    const found = await destinationFindings(
      file([
        { match: `${at}/hooks/`, allowPrivate: true },
        { match: `${at}/todos`, allowPrivate: true },
        { match: "http://127.0.0.1:1/", allowPrivate: true },
        { match: "http://10.0.0.1/" },
        { match: "http://169.254.169.254/", allowPrivate: true },
      ]),
    );
    expect(found.map(({ status, found }) => [status, found])).toEqual([
      ["ok", `${at} takes connections`],
      ["fail", "http://127.0.0.1:1: the connection was refused."],
      ["fail", "10.0.0.1: it is a private address."],
      ["fail", expect.stringContaining("169.254.169.254: it is a")],
    ]);
    expect(found[2]!.todo).toContain("allowPrivate");
    expect(heard).toEqual([]);
  });

  test("a name that does not resolve is named", async () => {
    const [found] = await destinationFindings(file([{ match: "https://receiver.invalid/" }]));
    expect(found).toMatchObject({ status: "fail", found: expect.stringContaining("does not resolve") });
  });

  test("no file, an empty one and one that is wrong", async () => {
    expect(await destinationFindings(undefined)).toMatchObject([{ status: "ok" }]);
    expect(await destinationFindings(file([]))).toMatchObject([{ status: "ok" }]);
    expect(await destinationFindings(file([{ mtch: "x" }]))).toMatchObject([
      { status: "fail", found: expect.stringContaining("KAMADO_DESTINATIONS_FILE") },
    ]);
  });
});

describe("ports", () => {
  const ports = (variables: Record<string, string>) =>
    portFindings(
      loadConfig({ KAMADO_WEB_PORT: "0", KAMADO_ENGINE_PORT: "0", KAMADO_LOCAL_PORT: "0", ...variables }, {}),
    );

  test("one that is taken is told with who has it and which setting changes it", async () => {
    await using other = await awsServer((_, response) => void response.writeHead(404).end());
    const { port } = new URL(other.endpoint);
    const [web] = await ports({ KAMADO_WEB_PORT: port });
    expect(web).toMatchObject({
      check: "web port",
      status: "fail",
      found: expect.stringContaining(`${port} of 127.0.0.1 is taken by`),
      todo: expect.stringContaining("KAMADO_WEB_PORT"),
    });
  }, 20_000);

  test("only those are looked at that would be used", async () => {
    const checks = async (variables: Record<string, string>) =>
      (await ports(variables)).map(({ check }) => check);
    expect(await checks({})).toEqual(["web port", "engine port", "queue port"]);
    expect(
      await checks({
        KAMADO_ENGINE_URL: "http://127.0.0.1:1",
        KAMADO_QUEUE_URL: "https://sqs.example/1/kamado-jobs",
      }),
    ).toEqual(["web port"]);
  });

  test("a page that others could open needs a token", async () => {
    const [web] = await ports({ KAMADO_WEB_HOST: "0.0.0.0" });
    expect(web).toMatchObject({ status: "fail", todo: expect.stringContaining("KAMADO_WEB_TOKEN") });
    const [safe] = await ports({ KAMADO_WEB_HOST: "0.0.0.0", KAMADO_WEB_TOKEN: "a-token-of-some-length" });
    expect(safe).toMatchObject({ status: "ok" });
  });
});

describe("services", () => {
  const state = (part: string, running: boolean, lastExit: number | null = null) => ({
    part,
    installed: true,
    running,
    pid: running ? 1 : null,
    lastExit,
    file: "f",
  });

  test("what is installed and does not run fails, with its last exit code", () => {
    const found = serviceFindings([state("worker", true), state("engine", false, 3)], true);
    expect(found).toEqual([
      { check: "service", status: "ok", found: "worker runs" },
      {
        check: "service",
        status: "fail",
        found: "engine is installed and does not run, its last exit code is 3",
        todo: expect.stringContaining("kamado service logs engine"),
      },
    ]);
  });

  test("a Podman machine that was started is well although its starter has ended; no service is no failure", () => {
    expect(serviceFindings([state("podman-machine", false, 0)], undefined)).toMatchObject([{ status: "ok" }]);
    expect(serviceFindings([{ ...state("worker", false), installed: false }], false)).toMatchObject([
      { status: "ok" },
    ]);
  });

  test("a service that ends with the login is warned of", () => {
    expect(serviceFindings([state("worker", true)], false)).toMatchObject([
      { status: "ok" },
      { status: "warn", todo: expect.stringContaining("enable-linger") },
    ]);
  });
});

describe("the Podman machine", () => {
  const INSPECT = "podman machine inspect";
  const machine = (State: string) =>
    JSON.stringify([{ Name: "podman-machine-default", State, Rootful: false }]);
  const date = (offMs: number) => ({
    "podman machine ssh date +%s": `${Math.round((Date.now() + offMs) / 1_000)}\n`,
  });
  const look = (answers: Parameters<typeof fakeMachine>[1], isNeeded = true) =>
    podmanFinding(fakeMachine("darwin", answers), isNeeded);

  test("one that runs is well, unless its clock stood still while the Mac slept", async () => {
    expect(await look({ [INSPECT]: machine("running"), ...date(0) })).toMatchObject({ status: "ok" });
    expect(await look({ [INSPECT]: machine("running"), ...date(-3_600_000) })).toMatchObject({
      status: "fail",
      found: expect.stringContaining("its clock is off by 3600 s"),
    });
  });

  test.each([
    ["stopped", { [INSPECT]: machine("stopped") }, "podman machine start"],
    ["missing", { [INSPECT]: { code: 125 } }, "podman machine init"],
    ["without Podman", { [INSPECT]: { code: 127 } }, "podman.io"],
  ])("one that is %s fails only where a container needs it", async (_, answers, todo) => {
    expect(await look(answers)).toMatchObject({ status: "fail", todo: expect.stringContaining(todo) });
    expect((await look(answers, false)).status).not.toBe("fail");
  });
});
