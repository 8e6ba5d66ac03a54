import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import {
  type Client,
  hasEnded,
  type Server,
} from "../../../../worker/engine/backends/llama-server/client.ts";
import { Prefixes, PrefixFiles } from "../../../../worker/engine/backends/llama-server/prefix-files.ts";
import { KamadoError } from "../../../../worker/errors.ts";

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);

describe("which beginnings of prompts are saved", () => {
  const instructions = numbers(0, 200);
  const question = (n: number) => [...instructions, ...numbers(1_000 * n, 30)];
  type Saved = { tokens: readonly number[] };
  const saved = (tokens: readonly number[]): Saved => ({ tokens });

  test("what two requests share, and only once", () => {
    const prefixes = new Prefixes<Saved>();
    expect(prefixes.wanted(question(1))).toBeUndefined();
    expect(prefixes.wanted(question(2))).toEqual(instructions);
    prefixes.add(saved(instructions));
    expect(prefixes.wanted(question(3))).toBeUndefined();
    expect(prefixes.covered(question(4))).toBe(200);
  });

  test("not what is evaluated as fast as it is read", () => {
    const prefixes = new Prefixes<Saved>();
    prefixes.wanted([...numbers(0, 40), 900, 901]);
    expect(prefixes.wanted([...numbers(0, 40), 902, 903])).toBeUndefined();
  });

  test.each<[string, number[], number[], number]>([
    ["the text before a picture that differs", [-5, -5, -5, 1], [-6, -6, -6, 1], 200],
    ["the picture too when it is the same", [-5, -5, -5, 1], [-5, -5, -5, 2], 203],
    ["no text after it", [-5, -5, 1, 2, 3, 4], [-5, -5, 1, 2, 3, 5], 202],
    ["two pictures", [-5, -5, 1, -6, -6, 2], [-5, -5, 1, -6, -6, 3], 205],
    ["only the first of two when the second differs", [-5, -5, 1, -6, -6, 2], [-5, -5, 1, -7, -7, 2], 202],
    ["no half picture", [-5, -5, 1, 2], [-5, -5, -5, 1], 200],
  ])("%s", (_, one, other, length) => {
    const prefixes = new Prefixes<Saved>();
    prefixes.wanted([...instructions, ...one]);
    expect(prefixes.wanted([...instructions, ...other])).toEqual(
      [...instructions, ...other].slice(0, length),
    );
  });

  test("one token of the very same prompt is left, which the server needs to evaluate", () => {
    const prefixes = new Prefixes<Saved>();
    prefixes.wanted(instructions);
    expect(prefixes.wanted(instructions)).toEqual(instructions.slice(0, -1));
  });

  test("a slot is filled from the file that helps most, if any helps", () => {
    const prefixes = new Prefixes<Saved>();
    prefixes.add(saved(numbers(0, 100)));
    prefixes.add(saved(instructions));
    expect(prefixes.best(question(1), 0)?.tokens).toEqual(instructions);
    expect(prefixes.best(question(1), 190)).toBeUndefined();
    expect(prefixes.best(numbers(7_000, 100), 0)).toBeUndefined();
  });

  test("files of shorter beginnings of the same are not needed any more", () => {
    const prefixes = new Prefixes<Saved>();
    const short = saved(numbers(0, 100));
    expect(prefixes.add(short)).toEqual([]);
    expect(prefixes.add(saved(numbers(10_000, 100)))).toEqual([]);
    expect(prefixes.add(saved(instructions))).toEqual([short]);
    prefixes.remove(short);
    expect(prefixes.best(numbers(0, 100), 0)?.tokens).toEqual(instructions);
  });
});

test.each([
  ["evaluates a beginning for others", "/completion"],
  ["saves it", "/slots/0?action=save"],
])(
  "the request for which llama-server ended while it %s fails, and does not go on with the next server",
  async (_, path) => {
    const asked: string[] = [];
    const post = async (to: string) => {
      asked.push(to);
      if (to === path) throw new KamadoError("engine_died", "It ended.");
      return { n_written: 1 };
    };
    // The process's own event comes later than the end of the connection.
    const down = new AbortController().signal;
    const server: Server = {
      client: { post } as unknown as Client,
      marker: "",
      template: "",
      contextSize: 512,
      always: {},
      down,
    };
    const files = new PrefixFiles(tmpdir(), true);
    const prompt = (own: number) => ({
      tokens: [...numbers(0, 200), own],
      images: [],
      texts: undefined,
      end: undefined,
    });
    await files.prepare(server, 0, prompt(1_000), 0, down);
    const thrown = await files.prepare(server, 0, prompt(1_001), 0, down).catch((thrown: unknown) => thrown);
    expect(thrown).toMatchObject({ code: "engine_died" });
    expect(hasEnded(thrown)).toBe(true);
    expect(asked.at(-1)).toBe(path);
  },
);
