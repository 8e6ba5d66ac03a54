// Which addresses may be reached: the rules by themselves, then every trick that has been tried on servers that fetch what they
// are told, through the real client. Each must be refused before anything connects.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isAtHome, isReachable, ruleOn } from "../../worker/outbound/addresses.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";
import { type Receiver, startReceiver } from "../fakes/receiver.ts";
import fc from "../properties.ts";

test.each([
  ["93.184.215.14", "public"],
  ["2606:4700::6810:84e5", "public"],
  ["::ffff:93.184.215.14", "public"],
  ["64:ff9b::5db8:d70e", "public"],
  ["127.0.0.1", "private"],
  ["127.255.255.254", "private"],
  ["10.1.2.3", "private"],
  ["172.31.255.255", "private"],
  ["172.32.0.1", "public"],
  ["192.168.1.20", "private"],
  ["100.64.0.1", "private"],
  ["::1", "private"],
  ["fd12:3456::1", "private"],
  ["::ffff:192.168.1.20", "private"],
  ["169.254.169.254", "link-local"],
  ["::ffff:169.254.169.254", "link-local"],
  ["fe80::1", "link-local"],
  ["fe80::1%en0", "link-local"],
  ["100.100.100.200", "metadata"],
  ["168.63.129.16", "metadata"],
  ["fd00:ec2::254", "metadata"],
  ["0.0.0.0", "reserved"],
  ["255.255.255.255", "reserved"],
  ["224.0.0.251", "reserved"],
  ["::", "reserved"],
  ["ff02::fb", "reserved"],
  ["::7f00:1", "reserved"],
  ["64:ff9b::7f00:1", "reserved"],
  ["64:ff9b:1::7f00:1", "reserved"],
  ["2002:7f00:1::", "reserved"],
  ["2001:0:7f00:1::", "reserved"],
  ["2001:db8::1", "reserved"],
  ["no address", "reserved"],
  ["", "reserved"],
])("%s is %s", (address, ruling) => {
  expect(ruleOn(address)).toBe(ruling);
});

test("allowPrivate opens the home network and nothing else", () => {
  const rulings = ["public", "private", "link-local", "metadata", "reserved"] as const;
  expect(rulings.filter((ruling) => isReachable(ruling, false))).toEqual(["public"]);
  expect(rulings.filter((ruling) => isReachable(ruling, true))).toEqual(["public", "private"]);
});

test("an IPv4 address inside an IPv6 address is never more reachable than by itself", () => {
  const hex = (high: number, low: number) => ((high << 8) | low).toString(16);
  fc.assert(
    fc.property(fc.ipV4(), fc.boolean(), (address, allowPrivate) => {
      const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number];
      const groups = `${hex(a, b)}:${hex(c, d)}`;
      const byItself = isReachable(ruleOn(address), allowPrivate);
      expect(isReachable(ruleOn(`::ffff:${groups}`), allowPrivate)).toBe(byItself);
      if (isReachable(ruleOn(`64:ff9b::${groups}`), allowPrivate)) expect(ruleOn(address)).toBe("public");
      for (const form of [`::${groups}`, `2002:${groups}::`, `64:ff9b:1::${groups}`, `::ffff:0:${groups}`])
        expect(isReachable(ruleOn(form), false)).toBe(false);
    }),
  );
});

test("every IPv6 address outside 2000::/3 and the embedding prefixes is refused", () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const first = Number.parseInt(new URL(`http://[${address}]/`).hostname.slice(1) || "0", 16) || 0;
      fc.pre(first >> 13 !== 1 && first !== 0 && first !== 0x64);
      expect(isReachable(ruleOn(address), false)).toBe(false);
    }),
  );
});

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.close());

const AT_HOME = [
  ["IPv4 loopback", "127.0.0.1"],
  ["another address of the loopback net", "127.8.8.8"],
  ["the name localhost", "localhost"],
  ["localhost in capitals", "LOCALHOST"],
  ["localhost in letters of another block", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"],
  ["a trailing dot behind an address", "127.0.0.1."],
  ["one integer", "2130706433"],
  ["one hexadecimal number", "0x7f000001"],
  ["one octal number", "017700000001"],
  ["hexadecimal parts", "0x7f.0x0.0x0.0x1"],
  ["octal parts", "0177.0.0.01"],
  ["parts left out", "127.1"],
  ["digits in circles", "①②⑦.⓪.⓪.①"],
  ["full-width digits and dots", "１２７。０。０。１"],
  ["percent-encoded digits", "%31%32%37.0.0.1"],
  ["IPv6 loopback", "[::1]"],
  ["IPv6 loopback written out", "[0:0:0:0:0:0:0:1]"],
  ["IPv4 mapped into IPv6", "[::ffff:127.0.0.1]"],
  ["the same in hexadecimal", "[::ffff:7f00:1]"],
  ["the home network", "192.168.1.1"],
  ["the home network, mapped", "[::ffff:192.168.1.1]"],
  ["a private net of a cloud", "10.0.0.1"],
  ["carrier-grade NAT", "100.64.0.1"],
  ["unique local IPv6", "[fd12:3456::1]"],
] as const;

const NOBODYS = [
  ["the metadata of AWS and others", "169.254.169.254"],
  ["the same as an integer", "2852039166"],
  ["the same in hexadecimal", "0xa9fea9fe"],
  ["the same in octal", "0251.0376.0251.0376"],
  ["the same, mapped", "[::ffff:169.254.169.254]"],
  ["the same through NAT64", "[64:ff9b::a9fe:a9fe]"],
  ["the same through 6to4", "[2002:a9fe:a9fe::]"],
  ["the credentials of a container", "169.254.170.2"],
  ["the metadata of AWS over IPv6", "[fd00:ec2::254]"],
  ["the metadata of Alibaba", "100.100.100.200"],
  ["the metadata of Oracle", "192.0.0.192"],
  ["the wire server of Azure", "168.63.129.16"],
  ["link-local IPv6", "[fe80::1]"],
  ["site-local IPv6", "[fec0::1]"],
  ["loopback through NAT64", "[64:ff9b::7f00:1]"],
  ["loopback through NAT64 of a network's own", "[64:ff9b:1::7f00:1]"],
  ["loopback through 6to4", "[2002:7f00:1::]"],
  ["loopback through Teredo", "[2001:0:7f00:1::]"],
  ["loopback as an IPv4-compatible address", "[::7f00:1]"],
  ["no address, IPv4", "0.0.0.0"],
  ["zero", "0"],
  ["no address, IPv6", "[::]"],
  ["broadcast", "255.255.255.255"],
  ["multicast", "224.0.0.251"],
  ["IPv6 multicast", "[ff02::1]"],
] as const;

const refusedAt = async (url: string, allowPrivate = false) => {
  const destinations = URL.canParse(url) && allowPrivate ? [known(`${new URL(url).origin}/`)] : [];
  const outbound = createOutbound({ destinations });
  try {
    await outbound.send({ method: "POST", url, body: "x" });
    return "reached";
  } catch (thrown) {
    return (thrown as { code?: string }).code;
  } finally {
    await outbound.close();
  }
};

describe("addresses that no job may reach, in any spelling", () => {
  test.each([...AT_HOME, ...NOBODYS])("%s: %s", async (_, host) => {
    expect(await refusedAt(`https://${host}:${receiver.port}/latest/meta-data`)).toBe("address_refused");
    expect(receiver.connections()).toBe(0);
  });
});

describe("addresses that are refused even if the destinations file lists them with allowPrivate", () => {
  test.each(NOBODYS)("%s: %s", async (_, host) => {
    expect(await refusedAt(`http://${host}:${receiver.port}/`, true)).toBe("address_refused");
    expect(receiver.connections()).toBe(0);
  });
});

describe("addresses that only look public", () => {
  test.each([
    ["a public name as the user", "https://example.com@127.0.0.1/", "address_refused"],
    ["a public name and a password", "https://example.com:443@127.0.0.1/", "address_refused"],
    ["backslashes", "https:\\\\127.0.0.1\\", "address_refused"],
    ["a line break inside", "https://127.0.\n0.1/", "address_refused"],
    ["white space around", " https://127.0.0.1/ ", "address_refused"],
    ["a public name in the fragment", "https://127.0.0.1/#https://example.com/", "address_refused"],
    ["plain http to a public name", "http://example.com/", "address_refused"],
    ["an IPv6 zone", "https://[fe80::1%25en0]/", "unsupported_address"],
    ["another scheme", "gopher://127.0.0.1:25/_EHLO", "unsupported_address"],
    ["a file", "file:///etc/passwd", "unsupported_address"],
    ["a script", "javascript:alert(1)", "unsupported_address"],
    ["too large a number", "https://4294967297/", "unsupported_address"],
  ])("%s: %j", async (_, url, code) => {
    expect(await refusedAt(url)).toBe(code);
    expect(receiver.connections()).toBe(0);
  });
});

describe("a name that resolves to another address", () => {
  const refusedAs = async (name: string, address: string) => {
    const outbound = createOutbound({
      resolve: async () => [{ address, family: address.includes(":") ? 6 : 4 }],
    });
    const sent = outbound.send({ method: "GET", url: `https://${name}:${receiver.port}/` });
    await expect(sent).rejects.toMatchObject({ code: "address_refused" });
    expect(receiver.connections()).toBe(0);
    await outbound.close();
  };

  test.each([...AT_HOME, ...NOBODYS].filter(([, host]) => /^(\d+\.){3}\d+$|^\[/.test(host)))(
    "%s: %s",
    (_, host) => refusedAs("innocent.example", host.replaceAll(/[[\]]/g, "")),
  );

  test.each([
    "localhost.",
    "LocalHost",
    "127.0.0.1.nip.example",
    "metadata.google.internal",
    "bücher.example",
  ])("asked for as %s", (name) => refusedAs(name, "127.0.0.1"));
});

test.each([
  ["http://mini/", true],
  ["http://mini.local:8080/", true],
  ["https://nas.home.arpa/", true],
  ["http://192.168.0.7/", true],
  ["http://[::1]/", true],
  ["https://example.org/", false],
  ["https://1.1.1.1/", false],
  ["http://169.254.169.254/", false],
])("%s is at home: %s", (url, isHome) => {
  expect(isAtHome(new URL(url))).toBe(isHome);
});
