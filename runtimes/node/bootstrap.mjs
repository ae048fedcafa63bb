/**
 * Starts the Node shim. With `--run FILE [ARGUMENT...]` it runs a program of its own instead; with `--standby` it
 * waits to be told which function it is for.
 *
 * This file holds no logic.
 */

if (process.argv[2] === "--run") {
  const { run } = await import("./launcher.mjs");
  run(process.argv[3]);
} else {
  const { main } = await import("./shim.mjs");
  const standby = process.argv[2] === "--standby" ? await import("./standby.mjs") : undefined;
  await main(standby);
}
