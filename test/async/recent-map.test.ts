import { expect, test } from "vitest";
import { RecentMap } from "../../worker/async/recent-map.ts";

test("the number of entries is bounded, and what was set the longest ago is forgotten first", () => {
  const map = new RecentMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  expect([map.size, map.get("a"), map.get("b"), map.get("c")]).toEqual([2, 3, undefined, 4]);
  map.delete("a");
  expect([map.size, map.get("a")]).toEqual([1, undefined]);
});
