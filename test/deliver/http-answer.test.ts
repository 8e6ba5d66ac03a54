import { expect, test } from "vitest";
import { judgeCallback, judgeRest } from "../../worker/deliver/http-answer.ts";

// status, callback, REST
test.each([
  [200, "taken", "taken"],
  [204, "taken", "taken"],
  [299, "taken", "taken"],
  [301, "again", "never"],
  [307, "again", "never"],
  [400, "never", "never"],
  [401, "never", "never"],
  [404, "never", "never"],
  [408, "again", "again"],
  [409, "never", "again"],
  [410, "never", "never"],
  [422, "never", "never"],
  [425, "again", "again"],
  [429, "again", "again"],
  [500, "again", "again"],
  [501, "again", "again"],
  [503, "again", "again"],
])("%i means for a callback %s, for a REST call %s", (status, callback, rest) => {
  expect([judgeCallback(status), judgeRest(status)]).toEqual([callback, rest]);
});
