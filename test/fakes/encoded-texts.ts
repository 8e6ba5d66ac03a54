// Texts as bytes in the character sets of their countries, which Node can read but not write. Not a test.

export const TEXTS = {
  ja: "静かな町には古い水車と長い川があり、人々はそこで毎日パンを焼いて暮らしていた。",
  line: "日本語のテキスト",
  ko: "조용한 마을에는 오래된 물레방아와 긴 강이 있었고 사람들은 매일 빵을 구웠다.",
  zh: "安静的小镇上有一座古老的水车和一条长河，人们每天在那里烤面包。",
  tw: "安靜的小鎮上有一座古老的水車和一條長河，人們每天在那裡烤麵包。",
  fr: "Dans la ville tranquille, une vieille roue à eau; « déjà » l’été, où l’on cuit du pain — 5 €.",
  ru: "В тихом городке была старая водяная мельница и длинная река, где люди каждый день пекли хлеб.",
} as const;

/** The text, the name of the character set as a header has it, and the bytes in base64. */
export const ENCODED: readonly (readonly [text: string, charset: string, bytes: Uint8Array])[] = [
  [
    TEXTS.ja,
    "Shift_JIS",
    Buffer.from(
      "kMOCqYLIkqyCyYLNjMOCopCFjtSCxpK3gqKQ7IKqgqCC6IFBkGyBWILNgruCsYLFloiT+oNwg5OC8I/EgqKCxJXpgueCtYLEgqKCvYFC",
      "base64",
    ),
  ],
  [
    TEXTS.ja,
    "EUC-JP",
    Buffer.from(
      "wMWkq6TKxK6ky6TPuMWkpL/lvNakyMS5pKTA7qSspKKk6qGiv82huaTPpL2ks6THy+jG/KXRpfOk8r7GpKSkxsrrpOmkt6TGpKSkv6Gj",
      "base64",
    ),
  ],
  [
    TEXTS.ja,
    "ISO-2022-JP",
    Buffer.from(
      "GyRCQEUkKyRKRC4kSyRPOEUkJD9lPFYkSEQ5JCRAbiQsJCIkaiEiP00hOSRPJD0kMyRHS2hGfCVRJXMkcj5GJCQkRkprJGkkNyRGJCQkPyEjGyhC",
      "base64",
    ),
  ],
  [TEXTS.line, "Shift_JIS", Buffer.from("k/qWe4zqgsyDZYNMg1iDZw==", "base64")],
  [TEXTS.line, "EUC-JP", Buffer.from("xvzL3LjspM6lxqWtpbmlyA==", "base64")],
  [
    TEXTS.ko,
    "EUC-KR",
    Buffer.from(
      "wba/68fRILi2wLu/obTCIL/At6G1yCC5sLe5uea+xr/NILHkILCtwMwgwNa++rDtILvntve16cC6ILjFwM8gu6fAuyCxuL/8tNku",
      "base64",
    ),
  ],
  [
    TEXTS.zh,
    "GBK",
    Buffer.from(
      "sLK+srXE0KHV8snP09DSu9f5ucXAz7XEy66ztbrN0rvM9bOkutOjrMjLw8fDv8zs1NrEx8Dvv77D5rD8oaM=",
      "base64",
    ),
  ],
  [
    TEXTS.zh,
    "GB18030",
    Buffer.from(
      "sLK+srXE0KHV8snP09DSu9f5ucXAz7XEy66ztbrN0rvM9bOkutOjrMjLw8fDv8zs1NrEx8Dvv77D5rD8oaM=",
      "base64",
    ),
  ],
  [
    TEXTS.tw,
    "Big5",
    Buffer.from(
      "pnfAUqq6pHDC7aRXprOkQK55pWqm0aq6pPSorqlNpECx+Kr4qmWhQaRIrcyoQ6TRpmKourjMr07E0aVdoUM=",
      "base64",
    ),
  ],
  [
    TEXTS.fr,
    "windows-1252",
    Buffer.from(
      "RGFucyBsYSB2aWxsZSB0cmFucXVpbGxlLCB1bmUgdmllaWxsZSByb3VlIOAgZWF1OyCrIGTpauAguyBskul06Swgb/kgbJJvbiBjdWl0IGR1IHBhaW4glyA1IIAu",
      "base64",
    ),
  ],
  [
    TEXTS.ru,
    "windows-1251",
    Buffer.from(
      "wiDy6PXu7CDj7vDu5OrlIOH76+Ag8fLg8OD/IOLu5P/t4P8g7OXr/O3o9uAg6CDk6+jt7eD/IPDl6uAsIOPk5SDr/uToIOrg5uT76SDk5e38IO/l6uvoIPXr5eEu",
      "base64",
    ),
  ],
  [
    TEXTS.ru,
    "KOI8-R",
    Buffer.from(
      "9yDUycjPzSDHz9LPxMvFIMLZzMEg09TB0sHRINfPxNHOwdEgzcXM2M7Jw8EgySDEzMnOzsHRINLFy8EsIMfExSDMwMTJIMvB1sTZyiDExc7YINDFy8zJIMjMxcIu",
      "base64",
    ),
  ],
];
