import { expect, test } from "vitest";
import { judgeCallback, judgeRest } from "../../worker/deliver/http-answer.ts";

// status, callback, REST
test.each([
  [200, "taken", "taken"],
  [204, "taken", "taken"],
  [299, "taken", "taken"],
  [301, "again", "never"],
  [307, "again", "never"],
  [400, "again", "never"],
  [401, "again", "never"],
  [404, "again", "never"],
  [408, "again", "again"],
  [409, "again", "again"],
  [410, "never", "never"],
  [422, "again", "never"],
  [425, "again", "again"],
  [429, "again", "again"],
  [500, "again", "again"],
  [501, "again", "again"],
  [503, "again", "again"],
])("%i means for a callback %s, for a REST call %s", (status, callback, rest) => {
  expect([judgeCallback(status), judgeRest(status)]).toEqual([callback, rest]);
});
