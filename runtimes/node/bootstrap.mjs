/**
 * Starts the Node shim. With `--run FILE [ARGUMENT...]` it runs a program of its own instead.
 *
 * This file holds no logic.
 */

if (process.argv[2] === "--run") {
  const { run } = await import("./launcher.mjs");
  run(process.argv[3]);
} else {
  const { main } = await import("./shim.mjs");
  await main();
}
