// Writes small PDF files for the tests: pages of lines, each at a place and in a size. Not a test.

export type PdfLine = { text: string; x: number; y: number; size?: number; font?: "F1" | "F2" | "F3" };
export type PdfOptions = {
  info?: Record<string, string>;
  /** Of the document, such as `en`. */
  language?: string;
  /** What the trailer says besides. */
  trailer?: string;
};

const FONTS = [
  "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
  "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
  // A Japanese font that is not in the file: only a table of the reader says which letters its codes are.
  "<< /Type /Font /Subtype /Type0 /BaseFont /HeiseiKakuGo-W5 /Encoding /90ms-RKSJ-H /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /HeiseiKakuGo-W5 /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >> /DW 1000 /FontDescriptor << /Type /FontDescriptor /FontName /HeiseiKakuGo-W5 /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0 /Ascent 860 /Descent -140 /CapHeight 700 /StemV 80 >> >>] >>",
];

/** Japanese as Shift_JIS in hexadecimal digits: `shiftJis` of the caller knows the letters. */
const shown = ({ text, x, y, size = 11, font = "F1" }: PdfLine) =>
  `BT /${font} ${size} Tf 1 0 0 1 ${x} ${y} Tm ${font === "F3" ? `<${shiftJis(text)}>` : `(${text.replaceAll(/[\\()]/g, "\\$&")})`} Tj ET`;

export function pdfOf(
  pages: readonly (readonly PdfLine[])[],
  { info = {}, language, trailer = "" }: PdfOptions = {},
): Uint8Array {
  const first = 3 + FONTS.length;
  const kids = pages.map((_, at) => `${first + 1 + at * 2} 0 R`).join(" ");
  const fonts = FONTS.map((_, at) => `/F${at + 1} ${3 + at} 0 R`).join(" ");
  const entries = Object.entries(info).map(([name, value]) => `/${name} ${literal(value)}`);
  const objects = [
    `<< /Type /Catalog /Pages 2 0 R${language ? ` /Lang (${language})` : ""} >>`,
    `<< /Type /Pages /Kids [${kids}] /Count ${pages.length} >>`,
    ...FONTS,
    `<< ${entries.join(" ")} >>`,
    ...pages.flatMap((lines, at) => {
      const content = lines.map(shown).join("\n");
      return [
        `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << ${fonts} >> >> /Contents ${first + 2 + at * 2} 0 R >>`,
        `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
      ];
    }),
  ];
  return fileOf(objects, `/Root 1 0 R /Info ${first} 0 R ${trailer}`);
}

function fileOf(objects: readonly string[], trailer: string): Uint8Array {
  let file = "%PDF-1.7\n";
  const places = objects.map((object, at) => {
    const place = file.length;
    file += `${at + 1} 0 obj\n${object}\nendobj\n`;
    return `${String(place).padStart(10, "0")} 00000 n \n`;
  });
  const table = file.length;
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.join("")}`;
  file += `trailer\n<< /Size ${objects.length + 1} ${trailer} >>\nstartxref\n${table}\n%%EOF\n`;
  return Uint8Array.from(Buffer.from(file, "latin1"));
}

/** UTF-16 where it is no ASCII. */
const literal = (value: string) =>
  /^[ -~]*$/.test(value)
    ? `(${value.replaceAll(/[\\()]/g, "\\$&")})`
    : `<feff${Buffer.from(value, "utf16le").swap16().toString("hex")}>`;

const shiftJisOf = new Map<string, string>();

/** The letters of a text in Shift_JIS, found by decoding all that there are. */
export function shiftJis(text: string): string {
  if (shiftJisOf.size === 0) fillShiftJis();
  return [...text].map((letter) => shiftJisOf.get(letter) ?? "3f").join("");
}

function fillShiftJis(): void {
  const decoder = new TextDecoder("shift_jis");
  const add = (bytes: number[]) => {
    const letter = decoder.decode(Uint8Array.from(bytes));
    if ([...letter].length === 1 && letter !== "\ufffd" && !shiftJisOf.has(letter))
      shiftJisOf.set(letter, Buffer.from(bytes).toString("hex"));
  };
  for (let one = 0x20; one < 0xe0; one++) add([one]);
  for (let lead = 0x81; lead <= 0xfc; lead++)
    for (let trail = 0x40; trail <= 0xfc; trail++) if (!(lead > 0x9f && lead < 0xe0)) add([lead, trail]);
}
