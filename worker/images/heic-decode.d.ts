// The part of heic-decode that is used here. The package has no types.
declare module "heic-decode" {
  type Stated = {
    width: number;
    height: number;
    decode(): Promise<{ width: number; height: number; data: Uint8ClampedArray }>;
  };
  const heicDecode: {
    all(options: { buffer: Uint8Array }): Promise<Stated[] & { dispose(): void }>;
  };
  export default heicDecode;
}
