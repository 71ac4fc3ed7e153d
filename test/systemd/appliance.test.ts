import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Container, startContainer } from "./container.ts";

let container: Container;

beforeAll(async () => {
  container = await startContainer();
  await container.booted();
}, 150_000);

afterAll(() => container?.stop(), 90_000);

describe("the appliance's boot", () => {
  it("ends with every unit as it should be", async () => {
    const failed = await container.run("systemctl", "--failed", "--plain", "--no-legend");
    expect(failed).toBe("");
    expect((await container.run("systemctl", "is-system-running")).trim()).toBe("running");
    expect(await container.property("tidegate.service", "ActiveState")).toBe("active");
    const times = await container.run("systemd-analyze", "time");
    process.stderr.write(`container: ${times.split("\n")[0]}\n`);
  });

  it("starts what the preset names, and no login", async () => {
    const preset = await container.run("cat", "/usr/lib/systemd/system-preset/00-tidegate.preset");
    const wanted = [...preset.matchAll(/^enable (\S+)$/gm)].map(([, unit]) => unit);
    expect(wanted.length).toBeGreaterThan(10);
    const listed = await container.run("systemctl", "list-unit-files", "--plain", "--no-legend");
    const enabled = listed.split("\n").flatMap((line) => {
      const [unit = "", state] = line.split(/\s+/);
      return state === "enabled" ? [unit] : [];
    });
    // Debian's networkd brings this one along; it only reads the kernel's command line.
    const brought = ["systemd-network-generator.service"];
    expect(enabled.toSorted()).toEqual([...wanted, ...brought].toSorted());
    const running = await container.run("systemctl", "list-units", "--plain", "--no-legend");
    expect(running).not.toMatch(/getty@|console-getty|debug-shell|emergency\.service/);
  });

  it("lets the gateway start without waiting for units of its own", async () => {
    for (const dependency of ["Requires", "Requisite", "BindsTo", "Wants"]) {
      const units = await container.property("tidegate.service", dependency);
      expect(units, dependency).not.toContain("tidegate-");
    }
    const after = await container.property("tidegate.service", "After");
    expect(after).toContain("tidegate-provision.service");
    expect(after).not.toMatch(/network-online|time-sync/);
  });
});

describe("the units", () => {
  it("are what systemd understands", async () => {
    const { code, output } = await container.attempt(
      "sh",
      "-c",
      "systemd-analyze verify --man=no /usr/lib/systemd/system/tidegate*.service " +
        "/usr/lib/systemd/system/tidegate*.path /usr/lib/systemd/system/boot-firmware.* " +
        "tmp.mount rauc.service emergency.service rescue.service avahi-daemon.service",
    );
    expect(output).toBe("");
    expect(code).toBe(0);
    const rules = await container.shell(
      "udevadm verify --no-summary /usr/lib/udev/rules.d/*-tidegate-*",
    );
    expect(rules).toBe("");
  });

  it("have settings of theirs that systemd reads without a warning", async () => {
    const log = await container.run("journalctl", "--boot", "--output=cat", "--no-pager");
    const complaints = log
      .split("\n")
      .filter((line) => /Unknown (key|section|lvalue)|Failed to parse|Invalid/i.test(line));
    expect(complaints).toEqual([]);
    // systemd's own ones are read by programs that a container does not run.
    const merged = await container.run("systemd-analyze", "cat-config", "systemd/system.conf");
    expect(merged).toContain("RuntimeWatchdogSec=15");
    const time = await container.run("systemd-analyze", "cat-config", "systemd/timesyncd.conf");
    expect(time).toContain("SaveIntervalSec=1h");
  });

  it("keep the log in memory, and little of it", async () => {
    const files = await container.run("journalctl", "--header", "--no-pager");
    expect(files).toMatch(/File path: \/run\/log\/journal\//);
    expect(files).not.toContain("/var/log/journal");
    const journald = await container.run("systemd-analyze", "cat-config", "systemd/journald.conf");
    expect(journald).toContain("RuntimeMaxUse=16M");
  });
});

describe("the gateway's sandbox", () => {
  it("is rated 2.0 or better", async () => {
    const report = await container.run("systemd-analyze", "security", "tidegate.service");
    const [line, score] = /exposure level for tidegate\.service: (\d+\.\d)/.exec(report) ?? [];
    expect(line).toBeDefined();
    process.stderr.write(`container: ${line}\n`);
    expect(Number(score)).toBeLessThanOrEqual(2);
  });

  it("runs an account that has the same number in every version", async () => {
    expect((await container.run("id", "tidegate")).trim()).toBe(
      "uid=610(tidegate) gid=610(tidegate) groups=610(tidegate)",
    );
    const pid = await container.property("tidegate.service", "MainPID");
    const status = await container.run("cat", `/proc/${pid}/status`);
    expect(status).toMatch(/^Uid:\t610\t610\t610\t610$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    for (const set of ["CapEff", "CapPrm", "CapBnd", "CapAmb"]) {
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, "m"));
    }
  });

  it("starts no other program", async () => {
    const pid = await container.property("tidegate.service", "MainPID");
    const inside = ["--target", pid, "--mount", "--"];
    for (const program of ["/usr/bin/true", "/bin/sh", "/usr/bin/busybox"]) {
      const { code, output } = await container.attempt("nsenter", ...inside, program);
      expect(code).not.toBe(0);
      expect(output).toContain("Permission denied");
    }
  });

  it("writes nowhere but into its own folders, which nobody else reads", async () => {
    const listed = await container.shell(
      "stat -c '%n %U:%G %a' /var/lib/tidegate /var/lib/tidegate/update /var/cache/tidegate " +
        "/run/tidegate /var/lib/tidegate/admin-password /data/secrets /etc/tidegate",
    );
    expect(listed.trim().split("\n")).toEqual([
      "/var/lib/tidegate tidegate:tidegate 750",
      "/var/lib/tidegate/update tidegate:tidegate 750",
      "/var/cache/tidegate tidegate:tidegate 700",
      "/run/tidegate tidegate:tidegate 750",
      "/var/lib/tidegate/admin-password tidegate:tidegate 600",
      "/data/secrets root:root 700",
      "/etc/tidegate root:root 755",
    ]);
    // As root in the gateway's place, so that nothing but the sandbox says no.
    const pid = await container.property("tidegate.service", "MainPID");
    const program = `for (const folder of process.argv.slice(1)) {
      try { fs.writeFileSync(folder + "/probe", ""); fs.unlinkSync(folder + "/probe"); }
      catch (err) { console.log(folder, err.code); }
    }`;
    const node = "/usr/lib/tidegate/bin/node";
    const closed = [
      "/",
      "/data",
      "/data/update",
      "/etc",
      "/etc/tidegate",
      "/home",
      "/root",
      "/run",
    ];
    closed.push("/boot", "/usr/bin", "/usr/lib", "/usr/lib/tidegate/dist", "/var", "/var/lib");
    const own = ["/run/tidegate", "/var/cache/tidegate", "/var/lib/tidegate", "/tmp"];
    const inside = ["--target", pid, "--mount", "--", node, "--eval", program, ...closed, ...own];
    const refused = await container.run("nsenter", ...inside);
    expect(refused.trim().split("\n")).toEqual(closed.map((folder) => `${folder} EROFS`));
  });

  it("has a limit of memory and of tasks, and no core files", async () => {
    const memory = Number(await container.property("tidegate.service", "MemoryMax"));
    const total = await container.shell("awk '/^MemTotal/ {print $2 * 1024}' /proc/meminfo");
    expect(memory / Number(total)).toBeCloseTo(0.6, 1);
    expect(await container.property("tidegate.service", "OOMPolicy")).toBe("stop");
    expect(await container.property("tidegate.service", "TasksMax")).toBe("64");
    expect(await container.property("tidegate.service", "LimitCORE")).toBe("0");
  });
});
