import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { JobReads } from "../../worker/outbound/job-reads.ts";

type Answer = { bytes: Uint8Array; contentType: null; url: string };

/** Reads that wait until the test answers them. */
function setUp(slots: number) {
  let now = 0;
  const asked: { url: string; answer: PromiseWithResolvers<Answer> }[] = [];
  const reads = new JobReads({
    slots: () => slots,
    now: () => now,
    outbound: {
      getJson: () => Promise.reject(new Error("not asked for")),
      send: () => Promise.reject(new Error("not asked for")),
      getBytes: (url) => {
        const answer = Promise.withResolvers<Answer>();
        asked.push({ url, answer });
        return answer.promise;
      },
    },
  });
  const read = (url: string, job: object = {}) => reads.for(job).getBytes(url);
  const isHeld = async (reading: Promise<unknown>) => {
    const first = await Promise.race([reading.catch((thrown) => thrown), Promise.resolve().then(() => null)]);
    return first instanceof KamadoError && first.detail?.heldBack === true;
  };
  /** Answers all that was asked, after so long. */
  const answerAll = (afterMs = 0) => {
    now += afterMs;
    for (const { url, answer } of asked.splice(0))
      answer.resolve({ bytes: new Uint8Array(), contentType: null, url });
  };
  const pass = (ms: number) => {
    now += ms;
  };
  return { asked, read, isHeld, answerAll, pass };
}

describe("servers that do not answer", () => {
  test("hold half of the slots at most, however many there are; the other jobs are held back and ask nothing", async () => {
    const { asked, read, isHeld } = setUp(8);
    const held = await Promise.all(
      Array.from({ length: 24 }, (_, n) => isHeld(read(`https://silent-${n}.example/a.png`))),
    );
    expect([asked.length, held.filter(Boolean).length]).toEqual([4, 20]);
  });

  test("are not taken for ones that are only new: a burst of jobs waits for the first answer", async () => {
    const { asked, read, answerAll } = setUp(8);
    const burst = Array.from({ length: 6 }, (_, n) => read(`https://new.example/${n}.png`));
    expect(asked).toHaveLength(4);
    answerAll();
    await burst[0];
    await expect.poll(() => asked.length).toBe(2);
    answerAll();
    expect(await Promise.all(burst)).toHaveLength(6);
  });

  test("do not keep jobs from a server that answers", async () => {
    const { read, isHeld, answerAll } = setUp(8);
    const first = read("https://honest.example/a.png");
    answerAll();
    await first;
    for (let n = 0; n < 4; n++) void read(`https://silent-${n}.example/a.png`);
    expect(await isHeld(read("https://honest.example/b.png"))).toBe(false);
    expect(await isHeld(read("https://other.example/b.png"))).toBe(true);
  });

  test("count as such when they answered once and then take long", async () => {
    const { read, isHeld, answerAll, pass } = setUp(8);
    const first = read("https://turned.example/a.png");
    answerAll();
    await first;
    for (let n = 0; n < 7; n++) expect(await isHeld(read(`https://turned.example/${n}.png`))).toBe(false);
    // The last slot is for jobs that read nothing.
    expect(await isHeld(read("https://turned.example/7.png"))).toBe(true);
    pass(4_000);
    answerAll();
    await Promise.resolve();
    const again = await Promise.all(
      Array.from({ length: 8 }, (_, n) => isHeld(read(`https://turned.example/${n}.png`))),
    );
    expect(again.filter(Boolean)).toHaveLength(4);
  });
});

test("one job may read several addresses at once, and one worker with a single slot still reads", async () => {
  const { read, isHeld } = setUp(1);
  const job = {};
  expect(await isHeld(read("https://a.example/1", job))).toBe(false);
  expect(await isHeld(read("https://b.example/2", job))).toBe(false);
  expect(await isHeld(read("https://c.example/3"))).toBe(true);
});
