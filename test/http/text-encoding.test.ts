// Which text bytes from outside are.
import { describe, expect, test } from "vitest";
import { decodeText } from "../../worker/http/text-encoding.ts";
import { ENCODED, TEXTS } from "../fakes/encoded-texts.ts";

const utf16 = (text: string, isBig = false) => {
  const bytes = Buffer.from(text, "utf16le");
  return isBig ? bytes.swap16() : bytes;
};
const pageOf = (bytes: Uint8Array, charset: string) =>
  Buffer.concat([Buffer.from(`<!doctype html><html><head><meta charset="${charset}"><p>`), bytes]);

describe.each(ENCODED)("%s in %s", (text, charset, bytes) => {
  test.each([
    ["that the header names", `text/plain; charset=${charset}`],
    ["that the header names in quotes and capitals", `text/html;Charset="${charset.toUpperCase()}"; x=y`],
    ["that nobody names", null],
    ["under a type without one", "text/html"],
    ["under a name that is none", "text/html; charset=nonsense"],
    ["that is said to be UTF-8", "text/html; charset=utf-8"],
  ])("is read: %s", (_, contentType) => {
    expect(decodeText(bytes, contentType)).toBe(text);
  });

  test("is read in a page that names it, whatever the server sends for all of its pages", () => {
    for (const contentType of [
      null,
      "text/html",
      "text/html; charset=ISO-8859-1",
      "text/html; charset=utf-8",
    ])
      expect(decodeText(pageOf(bytes, charset), contentType)?.split("<p>")[1]).toBe(text);
  });

  test("is read in a page that names it late, behind scripts and comments", () => {
    const page = pageOf(bytes, charset)
      .toString("latin1")
      .replace("<head>", `<head><!--${"x".repeat(5_000)}-->`);
    expect(decodeText(Buffer.from(page, "latin1"), "text/html; charset=ISO-8859-1")?.split("<p>")[1]).toBe(
      text,
    );
  });

  test("is read in XML that names it", () => {
    const xml = Buffer.concat([Buffer.from(`<?xml version="1.0" encoding="${charset}"?><p>`), bytes]);
    expect(decodeText(xml)?.split("<p>")[1]).toBe(text);
  });

  test("is never read with a character in place of what is damaged", () => {
    for (const cut of [1, 3, 7]) expect(decodeText(bytes.subarray(0, -cut)) ?? "").not.toContain("\ufffd");
  });
});

describe("the Unicode forms", () => {
  test.each(Object.entries(TEXTS))("of %s", (_, text) => {
    for (const declared of [
      null,
      "text/html; charset=iso-8859-1",
      "text/html; charset=Shift_JIS",
      "text/plain; charset=gbk",
    ]) {
      expect(decodeText(Buffer.from(text), declared)).toBe(text);
      expect(decodeText(Buffer.from(`\ufeff${text}`), declared)).toBe(text);
      expect(decodeText(utf16(`\ufeff${text}`), declared)).toBe(text);
      expect(decodeText(utf16(`\ufeff${text}`, true), declared)).toBe(text);
    }
  });

  test.each([TEXTS.ja, TEXTS.ko, TEXTS.zh, TEXTS.fr, TEXTS.ru, "plain"])(
    "UTF-16 without a mark: %s",
    (text) => {
      for (const isBig of [false, true]) {
        expect(decodeText(utf16(text, isBig))).toBe(text);
        expect(decodeText(utf16(text, isBig), "text/plain; charset=utf-8")).toBe(text);
      }
    },
  );

  test("a few letters that could be UTF-8 by accident are what their sender says", () => {
    const gbk = Buffer.from([0xc1, 0xaa, 0xcd, 0xa8]);
    expect(decodeText(gbk, "text/plain; charset=gbk")).toBe("联通");
    expect(decodeText(Buffer.from("é"), "text/plain; charset=windows-1252")).toBe("é");
  });

  test("an empty text, ASCII, and a � that the sender wrote", () => {
    for (const text of ["", "plain", "\ufffd as written"]) {
      expect(decodeText(Buffer.from(text))).toBe(text);
      expect(decodeText(Buffer.from(text), "text/plain; charset=shift_jis")).toBe(text);
    }
  });
});

describe("what nobody names is read where its bytes show what it is", () => {
  test.each([
    ["half-width letters", "ｱｲｳｴｵ 半角ｶﾅ", "sbKztLUglLyKcLbF"],
    ["a name", "株式会社山田商店", "ipSOronvjtCOUpNjj6STWA=="],
    ["signs of one maker", "①㈱髙橋", "h0CHiu7gi7Q="],
    ["German", "Größe: 5 µm", "R3L232U6IDUgtW0="],
    [
      "French in capitals and signs",
      "À bientôt: «été» 5 €/kg ©2020",
      "wCBiaWVudPR0OiCr6XTpuyA1IIAva2cgqTIwMjA=",
    ],
    [
      "Czech",
      "Příliš žluťoučký kůň úpěl ďábelské ódy v tichém městečku.",
      "UPjtbGm5IL5sdbtvdehr/SBr+fIg+nDsbCDv4WJlbHNr6SDzZHkgdiB0aWNo6W0gbexzdGXoa3Uu",
    ],
    [
      "Polish",
      "Zażółć gęślą jaźń, w cichym miasteczku stał stary młyn wodny.",
      "WmG/87PmIGfqnGy5IGphn/EsIHcgY2ljaHltIG1pYXN0ZWN6a3Ugc3RhsyBzdGFyeSBts3luIHdvZG55Lg==",
    ],
    [
      "Ukrainian",
      "У тихому містечку був старий водяний млин і довга річка, де їли їжу.",
      "9SDUycjPzdUgzabT1MXey9UgwtXXINPUwdLJyiDXz8TRzsnKIM3Myc4gpiDEz9fHwSDSpt7LwSwgxMUgp8zJIKfW1S4=",
    ],
    [
      "Greek",
      "Στην ήσυχη πόλη υπήρχε ένας παλιός νερόμυλος και ένα μακρύ ποτάμι.",
      "0/Tn7SDe8/X35yDw/OvnIPXw3vH35SDd7eHyIPDh6+n88iDt5fH87PXr7/Ig6uHpIN3t4SDs4erx/SDw7/Tc7Oku",
    ],
    [
      "Hebrew",
      "בעיירה השקטה הייתה טחנת מים ישנה ונהר ארוך, והאנשים אפו לחם.",
      "4fLp6fjkIOT59+jkIOTp6frkIOjn8Pog7untIOn58OQg5fDk+CDg+OXqLCDl5ODw+entIOD05SDs5+0u",
    ],
    [
      "Arabic",
      "في البلدة الهادئة كانت هناك طاحونة مياه قديمة ونهر طويل.",
      "3e0gx+HI4c/JIMfh5cfPxskg38fkyiDl5MffINjHzebkySDj7cflIN7P7ePJIObk5dEg2Obt4S4=",
    ],
    [
      "Turkish",
      "Sessiz kasabada eski bir su değirmeni ve uzun bir nehir vardı; insanlar şeker ığdır.",
      "U2Vzc2l6IGthc2FiYWRhIGVza2kgYmlyIHN1IGRl8GlybWVuaSB2ZSB1enVuIGJpciBuZWhpciB2YXJk/TsgaW5zYW5sYXIg/mVrZXIg/fBk/XIu",
    ],
  ])("%s", (_, text, base64) => {
    expect(decodeText(Buffer.from(base64, "base64"))).toBe(text);
  });

  test.each([
    ["two Chinese words", "xOO6w6OsysC95w=="],
    ["a Korean word", "vsiz58fPvLy/5A=="],
    ["a Japanese name in EUC", "xey1/g=="],
    ["German of DOS", "TYFsbGVyIGaEaHJ0IIFiZXIgZGllIFN0cmHhZS4="],
    ["German of an old Mac", "TZ9sbGVyIGaKaHJ0IJ9iZXIgZGllIFN0cmGnZS4="],
  ])("and refused where they could be anything: %s", (_, base64) => {
    expect(decodeText(Buffer.from(base64, "base64"))).toBeNull();
  });
});

test.each([
  ["text/plain; charset=utf-7", "M+APw-ller"],
  ["text/plain; charset=HZ-GB-2312", "~{02>25DP!~}"],
  ["text/plain; charset=iso-2022-kr", "plain"],
  [null, '<meta charset="utf-7">+ADw-b+AD4-'],
])(
  "a character set of mails that browsers do not know is refused, not shown as it is written: %s",
  (type, text) => {
    expect(decodeText(Buffer.from(text), type)).toBeNull();
  },
);

test.each(["東京", "カタカナ"])("%s in UTF-8 is read under another name", (text) => {
  for (const charset of ["shift_jis", "euc-jp", "iso-8859-1", "gbk"])
    expect(decodeText(Buffer.from(text), `text/plain; charset=${charset}`)).toBe(text);
});

test("a name for all pages of a server gives way to what the letters show", () => {
  const polish = Buffer.from(
    "WmG/87PmIGfqnGy5IGphn/EsIHcgY2ljaHltIG1pYXN0ZWN6a3Ugc3RhsyBzdGFyeSBts3luIHdvZG55Lg==",
    "base64",
  );
  expect(decodeText(polish, "text/html; charset=iso-8859-1")).toBe(
    "Zażółć gęślą jaźń, w cichym miasteczku stał stary młyn wodny.",
  );
});

test("a page that names it behind 100 KB of script is read", () => {
  const page = Buffer.concat([
    Buffer.from(`<script>${"x".repeat(100_000)}</script><meta charset=koi8-r><p>`),
    Buffer.from("8NLJ18XU", "base64"),
  ]);
  expect(decodeText(page, "text/html; charset=iso-8859-1")?.split("<p>")[1]).toBe("Привет");
});

describe("what is no text", () => {
  test.each([
    ["a picture", Buffer.from("89504e470d0a1a0a0000000d4948445200000100", "hex")],
    ["UTF-8 that was cut in a character", Buffer.from(TEXTS.fr).subarray(0, -2)],
    ["Japanese UTF-8 that was cut", Buffer.from(TEXTS.ja).subarray(0, -1)],
    ["Korean in an encoding of mails that browsers do not know", Buffer.from("\x1b$)C\x0e!!")],
    ["UTF-32, which browsers do not know", Buffer.from("fffe00006100000062000000", "hex")],
    ["UTF-32 with its other mark", Buffer.from("0000feff0000006100000062", "hex")],
    ["UTF-16 with half of a pair", utf16("\ufeffa\ud800")],
    [
      "bytes without order",
      Buffer.from(Array.from({ length: 600 }, (_, index) => (index * 7_919 + ((index * index) >> 3)) & 255)),
    ],
  ])("%s", (_, bytes) => {
    expect(decodeText(bytes)).toBeNull();
  });
});
