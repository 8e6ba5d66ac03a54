// Todos in a calendar of a real CalDAV server, Radicale. What the stub of service.test.ts cannot show: that others read what we write.
import { expect, onTestFinished, test } from "vitest";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { todoAdapters } from "../../worker/outbound/todo-services.ts";
import { todoServiceAt } from "../../worker/todos/open.ts";
import { RADICALE, whyNot } from "../emulators/emulators.ts";
import { startEmulator } from "../emulators/start.ts";
import { known } from "../fakes/known.ts";

const missing = whyNot(RADICALE);
const HEADERS = {
  authorization: `Basic ${Buffer.from("kim:pass").toString("base64")}`,
  "content-type": "application/xml",
};

async function makeCalendar(url: string, component: string): Promise<void> {
  const set = `<C:supported-calendar-component-set><C:comp name="${component}"/></C:supported-calendar-component-set>`;
  const body = `<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>${set}</D:prop></D:set></C:mkcalendar>`;
  expect((await fetch(url, { method: "MKCALENDAR", headers: HEADERS, body })).status).toBe(201);
}

test("a real server takes todos and notes once each, and gives them back", async (context) => {
  if (missing !== null) return context.skip(missing);
  const { endpoint, stop } = await startEmulator(RADICALE);
  onTestFinished(stop);
  const todos = { adapter: todoAdapters().caldav!, list: undefined };
  const destinations = [known(`${endpoint}/`, { headers: { authorization: HEADERS.authorization }, todos })];
  const outbound = createOutbound({ destinations });
  onTestFinished(() => outbound.close());
  const [calendar, events] = [`${endpoint}/kim/todos`, `${endpoint}/kim/events/`];
  await makeCalendar(calendar, "VTODO");
  await makeCalendar(events, "VEVENT");
  const at = (address: string) => todoServiceAt(destinations, address)!;
  const list = async () => (await at(calendar).list(outbound.send)) as { id: string; title: string }[];

  expect(await list()).toEqual([]);
  const title = "牛乳 & <b>eggs</b>, “2” \\ 3; done? 🥛";
  for (const _ of [1, 2])
    await at(calendar).apply({ title, note: "first, line\nsecond" }, "one", outbound.send);
  const [todo, ...more] = await list();
  expect({ title: todo!.title, more }).toEqual({ title, more: [] });
  for (const key of ["two", "two", "three"])
    await at(calendar).apply({ id: todo!.id, note: `note ${key}` }, key, outbound.send);
  const stored = await fetch(`${calendar}/${todo!.id}`, { headers: HEADERS }).then((answer) => answer.text());
  const unfolded = stored.replaceAll(/\r?\n[ \t]/g, "");
  expect(unfolded.match(/first\\, line\\nsecond|note two|note three|\[kamado:\w{16}\]/g)).toHaveLength(6);

  const gone = at(calendar).apply({ id: "gone.ics", note: "x" }, "four", outbound.send);
  await expect(gone).rejects.toMatchObject({ code: "fetch_rejected", detail: { httpStatus: 404 } });
  for (const address of [events, `${endpoint}/kim/`]) {
    await expect(at(address).list(outbound.send)).rejects.toThrow(/no calendar with todos/);
    const made = at(address).apply({ title: "x", note: "x" }, "five", outbound.send);
    await expect(made).rejects.toThrow(/no calendar with todos/);
  }
  const done = stored.replace("STATUS:NEEDS-ACTION", "STATUS:COMPLETED");
  const type = { "content-type": "text/calendar" };
  await fetch(`${calendar}/${todo!.id}`, { method: "PUT", headers: { ...HEADERS, ...type }, body: done });
  expect(await list()).toEqual([]);
}, 100_000);
