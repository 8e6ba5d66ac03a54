import { describe, expect, test } from "vitest";
import type {
  CompletionOptions,
  NativeContext,
  NativeResult,
  NativeToken,
} from "../../../../worker/engine/backends/llama-node/native.ts";
import { PictureTurns, Runner } from "../../../../worker/engine/backends/llama-node/runner.ts";

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("while a picture is encoded nobody calls the library; texts go before the next picture", async () => {
  const turns = new PictureTurns();
  const inside: string[] = [];
  const enter = (name: string, encodes: boolean) =>
    turns.enter(encodes, never).then(() => void inside.push(name));
  await enter("text", false);
  await enter("picture", true);
  const rest = [enter("second picture", true), enter("second text", false), enter("third text", false)];
  await settled();
  expect(inside).toEqual(["text", "picture"]);
  turns.leave();
  await Promise.all(rest);
  expect(inside.slice(2)).toEqual(["second text", "third text", "second picture"]);
  const last = enter("last text", false);
  turns.leave();
  await last;
  expect(inside.at(-1)).toBe("last text");
});

test("a client that goes away at the moment it is admitted takes nobody else's turn", async () => {
  const turns = new PictureTurns();
  await turns.enter(true, never);
  const client = new AbortController();
  const admitted = turns.enter(true, client.signal);
  const waiting = turns.enter(true, never);
  turns.leave();
  client.abort();
  await admitted;
  turns.leave();
  await waiting;
});

test("a client that goes away while it waits leaves the queue, and gets the reason", async () => {
  const turns = new PictureTurns();
  await turns.enter(true, never);
  const client = new AbortController();
  const gone = turns.enter(true, client.signal);
  const next = turns.enter(true, never);
  client.abort(new Error("gone"));
  await expect(gone).rejects.toThrow("gone");
  turns.leave();
  await next;
});

describe("a client that goes away", () => {
  /** A library that does nothing by itself, and a record of what is called. */
  function fakeLibrary() {
    type Listener = (error: unknown, result: NativeToken | NativeResult) => void;
    const calls: string[] = [];
    const listeners: Listener[] = [];
    const ctx = {
      enableParallelMode: () => {
        calls.push("start");
        return true;
      },
      disableParallelMode: () => void calls.push("stop"),
      queueCompletion: (_: CompletionOptions, listener: Listener) => {
        calls.push("request");
        return { requestId: listeners.push(listener) };
      },
    };
    const runner = new Runner({ ctx } as unknown as NativeContext, { n_parallel: 2, n_batch: 512 });
    const begin = (client: AbortController, pictures = false) => {
      const options = (pictures ? { media_paths: ["data:"] } : {}) as CompletionOptions;
      const ends = pictures ? [10] : [];
      const prompt = {
        text: "",
        images: [],
        stop: [],
        tokens: 20,
        pictures: { key: pictures ? "a" : "", ends },
      };
      const texts: string[] = [];
      const onToken = ({ token }: NativeToken) => void texts.push(token);
      const result = runner.run({ options, prompt, onToken }, client.signal);
      return {
        texts,
        outcome: result.then(
          () => "answered",
          ({ message }: Error) => message,
        ),
      };
    };
    const token = (request: number) => listeners[request]!(undefined, { requestId: request, token: "x" });
    const end = (request: number) =>
      listeners[request]!(undefined, {
        requestId: request,
        text: "x",
        stopped_eos: true,
        timings: { cache_n: 0 },
      } as NativeResult);
    return { calls, runner, begin, token, end };
  }
  const states = ({ slots }: Runner) => slots.all.map(({ state }) => state);
  const gone = new Error("gone");

  test("alone: the library's thread is stopped and started anew, and what it still says is ignored", async () => {
    const { calls, runner, begin, token, end } = fakeLibrary();
    const client = new AbortController();
    const { texts, outcome } = begin(client);
    await settled();
    token(0);
    client.abort(gone);
    expect(await outcome).toBe("gone");
    expect(calls).toEqual(["request", "stop", "start"]);
    expect(states(runner)).toEqual(["idle", "idle"]);
    token(0);
    end(0);
    expect(texts).toEqual(["x"]);
    const next = begin(new AbortController());
    await settled();
    end(1);
    expect(await next.outcome).toBe("answered");
  });

  test("beside another: the other one is answered first, and nothing of the library is called meanwhile", async () => {
    const { calls, runner, begin, token, end } = fakeLibrary();
    const client = new AbortController();
    const [leaving, staying] = [begin(client), begin(new AbortController())];
    await settled();
    client.abort(gone);
    token(0);
    token(1);
    expect(calls).toEqual(["request", "request"]);
    expect(states(runner)).toEqual(["prefill", "decode"]);
    end(1);
    expect([await staying.outcome, await leaving.outcome]).toEqual(["answered", "gone"]);
    expect(calls.slice(2)).toEqual(["stop", "start"]);
    expect(leaving.texts).toEqual([]);
  });

  test("whose request ends by itself first leaves nothing to stop", async () => {
    const { calls, begin, end } = fakeLibrary();
    const client = new AbortController();
    const [leaving, staying] = [begin(client), begin(new AbortController())];
    await settled();
    client.abort(gone);
    end(0);
    expect(await leaving.outcome).toBe("gone");
    end(1);
    expect(await staying.outcome).toBe("answered");
    expect(calls).toEqual(["request", "request"]);
  });

  test("while its picture may be encoded: the library is not called before that is over", async () => {
    const { calls, begin, token } = fakeLibrary();
    const client = new AbortController();
    const { outcome } = begin(client, true);
    await settled();
    client.abort(gone);
    expect(calls).toEqual(["request"]);
    token(0);
    expect(await outcome).toBe("gone");
    expect(calls).toEqual(["request", "stop", "start"]);
  });

  test("before the library is called: it is never called", async () => {
    const { calls, begin } = fakeLibrary();
    const client = new AbortController();
    client.abort(gone);
    expect(await begin(client).outcome).toBe("gone");
    expect(calls).toEqual([]);
  });
});
