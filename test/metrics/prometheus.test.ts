import { describe, expect, test } from "vitest";
import { Counter, Histogram, writeFamilies } from "../../worker/metrics/prometheus.ts";

describe("the text format", () => {
  test("a histogram counts up to each bound, and labels are escaped", () => {
    const histogram = new Histogram([1, 10]);
    for (const value of [0.5, 5, 50]) histogram.observe(value, { of: 'a"b\\c\nd' });
    const text = writeFamilies([{ name: "h", type: "histogram", help: "It.", samples: histogram.samples() }]);
    const label = 'of="a\\"b\\\\c\\nd"';
    expect(text).toBe(
      [
        "# HELP h It.",
        "# TYPE h histogram",
        `h_bucket{${label},le="1"} 1`,
        `h_bucket{${label},le="10"} 2`,
        `h_bucket{${label},le="+Inf"} 3`,
        `h_sum{${label}} 55.5`,
        `h_count{${label}} 3\n`,
      ].join("\n"),
    );
  });

  test("what was never counted is left out", () => {
    const counter = new Counter();
    const family = () =>
      writeFamilies([{ name: "c", type: "counter", help: "C.", samples: counter.samples() }]);
    expect(family()).toBe("");
    counter.add();
    counter.add({}, 2);
    expect(family()).toBe("# HELP c C.\n# TYPE c counter\nc 3\n");
  });
});
