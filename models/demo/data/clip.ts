// What llama.cpp's clip does to a picture before the vision model sees it: scale to fit a square, centre it on grey.
// Training must see pictures exactly as inference does, so this copies tools/mtmd (resize, bicubic, pad), float32 steps included.

export type Picture = { width: number; height: number; rgb: Uint8Array };

/** The side of the square, in pixels. */
export const SIDE = 64;
const GREY = [122, 116, 104] as const;
const f32 = Math.fround;

const clamp = (value: number, high: number) => Math.max(0, Math.min(high, value));

/** Cubic through four neighbours, as llama.cpp writes it. */
function cubic(p0: number, p1: number, p2: number, p3: number, t: number): number {
  const [d0, d2, d3] = [p0 - p1, p2 - p1, p3 - p1];
  const a1 = -d0 / 3 + d2 - d3 / 6;
  const a2 = d0 / 2 + d2 / 2;
  const a3 = -d0 / 6 - d2 / 2 + d3 / 6;
  return p1 + a1 * t + a2 * t * t + a3 * t * t * t;
}

/** Bicubic without antialiasing: each pixel comes from 4 x 4 neighbours of its corner, however large the picture. */
function bicubic({ width, height, rgb }: Picture, toWidth: number, toHeight: number): Picture {
  const out = new Uint8Array(toWidth * toHeight * 3);
  const [stepX, stepY] = [f32(width / toWidth), f32(height / toHeight)];
  const column = [0, 0, 0, 0];
  for (let row = 0; row < toHeight; row++) {
    const y = Math.trunc(f32(stepY * row));
    const dy = f32(f32(stepY * row) - y);
    for (let col = 0; col < toWidth; col++) {
      const x = Math.trunc(f32(stepX * col));
      const dx = f32(f32(stepX * col) - x);
      for (let channel = 0; channel < 3; channel++) {
        for (let near = 0; near < 4; near++) {
          const line = clamp(y - 1 + near, height - 1) * width;
          const at = (offset: number) => rgb[(line + clamp(x + offset, width - 1)) * 3 + channel]!;
          column[near] = cubic(at(-1), at(0), at(1), at(2), dx);
        }
        const value = cubic(column[0]!, column[1]!, column[2]!, column[3]!, dy);
        out[(row * toWidth + col) * 3 + channel] = clamp(Math.round(value), 255);
      }
    }
  }
  return { width: toWidth, height: toHeight, rgb: out };
}

/** The picture as the vision model sees it, SIDE x SIDE. Pictures of that size stay as they are. */
export function toSquare(picture: Picture): Picture {
  if (picture.width === SIDE && picture.height === SIDE) return picture;
  const scale = f32(Math.min(f32(SIDE / picture.width), f32(SIDE / picture.height)));
  const width = Math.min(Math.ceil(f32(picture.width * scale)), SIDE);
  const height = Math.min(Math.ceil(f32(picture.height * scale)), SIDE);
  const small = bicubic(picture, width, height);
  const rgb = new Uint8Array(SIDE * SIDE * 3);
  for (let at = 0; at < rgb.length; at++) rgb[at] = GREY[at % 3]!;
  const [left, top] = [Math.floor((SIDE - width) / 2), Math.floor((SIDE - height) / 2)];
  for (let row = 0; row < height; row++)
    rgb.set(small.rgb.subarray(row * width * 3, (row + 1) * width * 3), ((top + row) * SIDE + left) * 3);
  return { width: SIDE, height: SIDE, rgb };
}
