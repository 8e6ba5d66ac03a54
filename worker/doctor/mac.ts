// What macOS does to a machine that nobody looks after: whether it comes back after a restart and stays awake, what updates do, how much
// memory the GPU may hold. Reads the output of Apple's commands as they document it; none of them changes anything or needs sudo.
import { sizeWords } from "../amounts.ts";
import type { Machine } from "../service/machine.ts";
import { type Finding, ok, warn } from "./finding.ts";
import { LOOK, type Memory } from "./machine.ts";

const LOGIN_WINDOW = "/Library/Preferences/com.apple.loginwindow";
const UPDATES = "/Library/Preferences/com.apple.SoftwareUpdate";

/** `startsAt`: when the service that is installed starts; undefined without one. */
export async function macFindings(
  machine: Machine,
  startsAt: "login" | "boot" | undefined,
  memory: Memory,
): Promise<Finding[]> {
  const ask = async (...command: string[]) => {
    const { code, out } = await machine.run(command, LOOK);
    return code === 0 ? out : undefined;
  };
  const [vault, login, power, updates, wired] = await Promise.all([
    ask("fdesetup", "status"),
    ask("defaults", "read", LOGIN_WINDOW, "autoLoginUser"),
    ask("pmset", "-g"),
    ask("defaults", "read", UPDATES),
    ask("sysctl", "-n", "iogpu.wired_limit_mb"),
  ]);
  const hasVault = vault === undefined ? undefined : /FileVault is On/i.test(vault);
  return [
    fileVaultFinding(hasVault),
    loginFinding(login?.trim() || undefined, startsAt, hasVault ?? false),
    ...powerFindings(power),
    updatesFinding(updates),
    metalFinding(wired, memory),
  ];
}

const cannotTell = (check: string, command: string) =>
  warn(check, "cannot be told", `Look at what \`${command}\` says.`);

function fileVaultFinding(isOn: boolean | undefined): Finding {
  if (isOn === undefined) return cannotTell("FileVault", "fdesetup status");
  if (!isOn) return ok("FileVault", "off: a restart needs nobody");
  return warn(
    "FileVault",
    "on: after a power failure or an update nothing starts until somebody types the password at this Mac",
    "Turn it off if this Mac is to come back alone (the disk is then readable to whoever has it), or restart with `sudo fdesetup authrestart`.",
  );
}

function loginFinding(
  user: string | undefined,
  startsAt: "login" | "boot" | undefined,
  hasVault: boolean,
): Finding {
  if (startsAt === "boot")
    return ok("automatic login", `${user ?? "none"}; the service starts without one (LaunchDaemon)`);
  if (user !== undefined) return ok("automatic login", `${user} is logged in after a restart`);
  const found = "off: a LaunchAgent starts only when somebody logs in";
  const own = startsAt === "login" ? found : `${found}; no service is installed yet`;
  const todo = hasVault
    ? "It cannot be turned on while FileVault is on. Install the service with `sudo ./kamado service install --daemon --user NAME`, which needs no login."
    : "Turn it on (System Settings, Users & Groups), or install the service with `sudo ./kamado service install --daemon --user NAME`.";
  return warn("automatic login", own, todo);
}

/** ` sleep                10 (sleep prevented by powerd)` */
function powerFindings(text: string | undefined): Finding[] {
  const value = (name: string) => {
    const found = new RegExp(`^\\s*${name}\\s+(\\d+)`, "m").exec(text ?? "")?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [minutes, restarts] = [value("sleep"), value("autorestart")];
  const sleep =
    minutes === undefined
      ? cannotTell("sleep", "pmset -g")
      : minutes === 0
        ? ok("sleep", "never")
        : warn(
            "sleep",
            `after ${minutes} min without use; jobs then wait until it wakes`,
            "Run `sudo pmset -a sleep 0`.",
          );
  // A MacBook has no such setting.
  if (restarts === undefined) return [sleep];
  const restart =
    restarts === 1
      ? ok("power failure", "it starts again by itself")
      : warn("power failure", "it stays off afterwards", "Run `sudo pmset -a autorestart 1`.");
  return [sleep, restart];
}

function updatesFinding(text: string | undefined): Finding {
  const value = /^\s*AutomaticallyInstallMacOSUpdates = (\d);/m.exec(text ?? "")?.[1];
  if (value === "0") return ok("updates", "macOS is not updated by itself");
  if (value === undefined)
    return warn(
      "updates",
      "it is not set whether macOS updates and restarts by itself, so Apple's default counts",
      "Choose in System Settings, General, Software Update, Automatic Updates.",
    );
  return warn(
    "updates",
    "macOS updates and restarts by itself, at night",
    "Turn `Install macOS updates` off in System Settings, or see that this Mac comes back alone: FileVault and automatic login above.",
  );
}

function metalFinding(text: string | undefined, { mostBytes, totalBytes, from }: Memory): Finding {
  const limit = Number(text?.trim() || Number.NaN) * 2 ** 20;
  if (Number.isNaN(limit)) return cannotTell("Metal", "sysctl iogpu.wired_limit_mb");
  if (limit === 0)
    return ok("Metal", "macOS decides how much memory the GPU may hold (iogpu.wired_limit_mb is 0)");
  const found = `the GPU may hold ${sizeWords(limit)} of ${sizeWords(totalBytes)} until the next restart (iogpu.wired_limit_mb)`;
  if (limit < mostBytes)
    return warn(
      "Metal",
      found,
      `A model of up to ${sizeWords(mostBytes)} is loaded all the same, and fails. Set KAMADO_MEMORY_LIMIT, or the limit to 0.`,
    );
  if (from === "KAMADO_MEMORY_LIMIT") return ok("Metal", found);
  return warn(
    "Metal",
    found,
    `Kamado plans with ${sizeWords(mostBytes)}. Set KAMADO_MEMORY_LIMIT to use more.`,
  );
}
