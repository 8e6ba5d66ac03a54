// What counts as a trace to go on with, and what becomes of everything else.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  fromXRay,
  ofAttributes,
  readTraceContext,
  traceFields,
  traceIdOf,
} from "../../worker/job/trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

describe("traceparent", () => {
  test("a valid one goes on as it is, and names its trace", () => {
    expect(readTraceContext({ traceparent: PARENT })).toEqual({ traceparent: PARENT });
    expect(readTraceContext({ traceparent: ` ${PARENT}\t` })).toEqual({ traceparent: PARENT });
    expect(traceIdOf({ traceparent: PARENT })).toBe(TRACE);
  });

  test.each([
    ["a later version", `cc-${TRACE}-00f067aa0ba902b7-01`],
    ["a later version with more", `cc-${TRACE}-00f067aa0ba902b7-01-what-the-future-brings`],
  ])("%s is read as the first one", (_, traceparent) => {
    expect(readTraceContext({ traceparent })).toEqual({ traceparent: PARENT });
  });

  test.each([
    ["nothing", undefined],
    ["an empty text", ""],
    ["a number", 4],
    ["an object", {}],
    ["version ff", `ff-${TRACE}-00f067aa0ba902b7-01`],
    ["more than version 00 has", `${PARENT}-more`],
    ["capitals", PARENT.toUpperCase()],
    ["a trace of zeros", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`],
    ["a span of zeros", `00-${TRACE}-${"0".repeat(16)}-01`],
    ["a short trace", `00-${TRACE.slice(1)}-00f067aa0ba902b7-01`],
    ["a line break", `${PARENT}\nx: y`],
    ["two of them", `${PARENT},${PARENT}`],
    ["a later version with a mistake", `cc-${TRACE}-00f067aa0ba902b7-01.what`],
  ])("%s is left out", (_, traceparent) => {
    expect(readTraceContext({ traceparent, tracestate: "a=1" })).toBeUndefined();
  });
});

describe("tracestate", () => {
  const stateOf = (tracestate: unknown) => readTraceContext({ traceparent: PARENT, tracestate })?.tracestate;

  test("a valid one goes on", () => {
    expect(stateOf("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")).toBe(
      "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    );
    expect(stateOf(" a=1 , , t@v=2 ")).toBe("a=1,t@v=2");
  });

  test.each([["A=1"], ["a"], ["a=1,a=2"], ["a=1\n"], ["a=\u00e9"], ["=1"], [""], [7], [null]])(
    "%j is left out, and the trace goes on",
    (state) => {
      expect(
        readTraceContext({ traceparent: PARENT, tracestate: state === "a=1\n" ? "a=1\n2" : state }),
      ).toEqual({
        traceparent: PARENT,
      });
    },
  );

  test("more than 32 members are left out", () => {
    const members = Array.from({ length: 33 }, (_, index) => `k${index}=1`);
    expect(stateOf(members.slice(1).join(","))).toBe(members.slice(1).join(","));
    expect(stateOf(members.join(","))).toBeUndefined();
  });

  test("a long one loses its long members first, then its last ones", () => {
    expect(stateOf(`long=${"x".repeat(200)},${"a".repeat(100)}=1,${"b".repeat(250)}=1,c=1`)).toBe(
      `${"a".repeat(100)}=1,c=1`,
    );
    const many = Array.from({ length: 30 }, (_, index) => `key${index}=${"x".repeat(20)}`);
    const kept = stateOf(many.join(","))!;
    expect(kept.length).toBeLessThanOrEqual(512);
    expect(many.join(",").startsWith(kept)).toBe(true);
  });
});

test("whatever comes, what goes on is a header of bounded length or nothing", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string().map((text) => `${PARENT}${text}`),
  );
  const isHeader = (value: string) => /^[\x20-\x7e]{1,512}$/.test(value);
  fc.assert(
    fc.property(texts, fc.string({ maxLength: 600 }), (traceparent, tracestate) =>
      Object.values(traceFields({ traceparent, tracestate })).every(isHeader),
    ),
  );
});

describe("AWS X-Ray", () => {
  const HEADER = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";

  test("its header is the same trace", () => {
    expect(fromXRay(HEADER)).toEqual({ traceparent: PARENT });
    expect(fromXRay(HEADER.replace("Sampled=1", "Sampled=0"))).toEqual({
      traceparent: `${PARENT.slice(0, -2)}00`,
    });
    expect(fromXRay(`Self=1-1-1; ${HEADER.replaceAll(";", "; ")};Lineage=a:1`)).toEqual({
      traceparent: PARENT,
    });
  });

  test.each([
    [undefined],
    [""],
    ["Root=1-4bf92f35-77b34da6a3ce929d0e0e4736"],
    ["Root=x;Parent=00f067aa0ba902b7"],
  ])("%j names no span", (header) => {
    expect(fromXRay(header)).toBeUndefined();
  });

  test("what the sender itself wrote counts before it", () => {
    const own = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
    expect(ofAttributes({ AWSTraceHeader: HEADER, traceparent: own })).toEqual({ traceparent: own });
    expect(ofAttributes({ AWSTraceHeader: HEADER, traceparent: "broken" })).toEqual({ traceparent: PARENT });
    expect(ofAttributes({ other: "x" })).toBeUndefined();
  });
});
