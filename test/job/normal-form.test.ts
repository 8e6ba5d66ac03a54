// Short texts in one form, however they are written.
import { describe, expect, test } from "vitest";
import { normalWords, numbersIn } from "../../worker/job/normal-form.ts";

const form = (text: string) => normalWords(text).join(" ");

describe("the same in another way of writing", () => {
  test.each([
    ["Paris", "paris.", "“Paris”", "ＰＡＲＩＳ", "the city of Paris", "in Paris"],
    ["7", "seven", "７", "七", "07", "7.0"],
    ["7,000", "7000", "seven thousand", "7 thousand", "７千", "七千", "7,000.00"],
    ["3.5 million", "3,500,000", "350万", "三百五十万"],
    ["100", "a hundred", "one hundred", "百"],
    ["205", "two hundred and five", "二百五", "二〇五"],
    ["12 eggs", "a dozen eggs", "twelve eggs"],
    ["7 %", "7%", "７％", "7 percent", "seven per cent", "7パーセント"],
    ["4 July", "July 4", "the 4th of July", "on July 4th", "7月4日", "７月４日", "七月四日"],
    [
      "4 July 2024",
      "July 4, 2024",
      "Jul. 4, 2024",
      "2024-07-04",
      "2024/7/4",
      "2024年7月4日",
      "令和6年7月4日",
    ],
    ["July 2024", "in July 2024", "2024年7月"],
    ["1977", "in 1977", "in the year 1977", "1977年", "1977年に", "一九七七年", "昭和52年"],
    ["3 pm", "3 p.m.", "3:00 PM", "15:00", "at 15:00", "午後3時", "15時", "午後三時"],
    ["3:30 pm", "15:30", "午後3時半", "15時30分"],
    ["7,000 yen", "¥7,000", "￥7000", "7000円", "七千円"],
    ["$5 million", "5 million dollars", "USD 5,000,000"],
    ["1,500 m", "1500 metres", "1,500 meters", "1500メートル"],
    ["$7.5", "$7.50", "7.50 dollars"],
    ["7–9", "7-9", "7 – 9"],
    ["third", "the third", "3rd"],
    ["40個", "四十個", "４０個"],
    ["It isn't open.", "it is not open"],
    ["cannot", "can't", "can not"],
    ["田中", "田中さん", "田中氏", "田中です"],
    ["ｶﾒﾗ", "カメラ"],
  ])("%s", (first, ...others) => {
    expect(others.map(form)).toEqual(others.map(() => form(first)));
  });
});

test.each([
  ["7", "7,000"],
  ["7", "-7"],
  ["7", "7 %"],
  ["1.5", "15"],
  ["7 km", "7 m"],
  ["$7", "¥7"],
  ["4 July", "7 April"],
  ["4 July 2024", "4 July 2025"],
  ["3 pm", "3 am"],
  ["3 hours", "3 pm"],
  ["3時間", "3時"],
  ["before 1977", "1977"],
  ["1977年以前", "1977年"],
  ["over 40", "40"],
  ["40個以上", "40個"],
  ["open", "not open"],
  ["開いている", "開いていない"],
  ["Mr Sato", "Mrs Sato"],
  ["Plan A", "Plan B"],
  ["vitamin A", "vitamin"],
  ["C", "C++"],
  ["千葉", "1000葉"],
  ["大阪府", "大阪市"],
  ["twenty three", "twenty, thirty"],
  ["It was –5 °C.", "It was 5 °C."],
  ["version 1.10", "version 1.1"],
  ["192.168.1.1", "192.168.1.10"],
  ["1.500 kg", "1.5 kg"],
  ["10²", "102"],
  ["3½", "31/2"],
  ["2/3 of them", "2–3 of them"],
  ["Peters won", "Peter won"],
])("what means another thing stays another: %s and %s", (one, other) => {
  expect(form(one)).not.toBe(form(other));
});

test("the numbers of a text are those of its words, its dates and its times", () => {
  const numbers = (text: string) => [...numbersIn(normalWords(text))];
  expect(numbers("On 4 July 2024 two thousand people ran 42.195 km, 7.50 % more, until 15:00.")).toEqual([
    "2024",
    "7",
    "4",
    "2000",
    "42.195",
    "7.5",
    "15:00",
  ]);
  expect(numbers("4.7.2024")).toEqual(["4", "7", "2024"]);
  expect(numbers("No number, and b52 is none.")).toEqual([]);
});

test("any text has a form, and a long one takes no longer than its length asks for", () => {
  for (const text of [
    "",
    " ",
    "?!",
    "1".repeat(50_000),
    "one ".repeat(20_000),
    "万".repeat(50_000),
    "may 4 ".repeat(10_000),
  ])
    expect(Array.isArray(normalWords(text))).toBe(true);
});
