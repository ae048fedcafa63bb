/**
 * Finds what the function's `Handler` names: `directory/file.export.property`.
 *
 * CommonJS is required, ES modules are imported; which one a `.js` file is, its package says. Names and
 * messages of errors are those of AWS's runtime.
 */

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { Fault, stackTrace } from "./faults.mjs";

const EXTENSIONS = ["", ".js", ".mjs", ".cjs"];

/** The handler function. Throws `Fault`, or what the module throws. */
export async function load(root, handler) {
  if (handler.includes("..")) {
    const advice = "Use absolute paths when specifying root directories in handler names.";
    throw new Fault("Runtime.MalformedHandlerName", `'${handler}' is not a valid handler name. ${advice}`);
  }
  const parts = /^([^.]*)\.(.*)$/.exec(basename(handler));
  if (parts === null) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  const [, file, path] = parts;
  const exported = await loadModule(root, join(dirname(handler), file));
  return resolveExport(exported, path, handler);
}

function resolveExport(exported, path, handler) {
  const follow = (from) => path.split(".").reduce((value, name) => value?.[name], from);
  // A CommonJS module that was imported has its exports under `default`.
  const found = follow(exported) ?? follow(exported?.default);
  if (found === undefined || found === null) {
    throw new Fault("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  }
  if (typeof found !== "function") throw new Fault("Runtime.HandlerNotFound", `${handler} is not a function`);
  return found;
}

async function loadModule(root, name) {
  const path = resolve(root, name);
  try {
    for (const extension of EXTENSIONS) {
      const file = path + extension;
      if ((extension === "" && !/\.[cm]?js$/.test(file)) || !existsSync(file)) continue;
      return isModule(file) ? await import(pathToFileURL(file).href) : createRequire(file)(file);
    }
    // A package directory, or nothing: let Node word it.
    return createRequire(join(root, "_"))(path);
  } catch (error) {
    throw named(error, root, name);
  }
}

function named(error, root, name) {
  if (error instanceof SyntaxError) return new Fault("Runtime.UserCodeSyntaxError", String(error), stackTrace(error));
  if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
    const missing = String(error).replace(resolve(root, name), name);
    return new Fault("Runtime.ImportModuleError", missing, stackTrace(error));
  }
  return error;
}

function isModule(file) {
  if (file.endsWith(".mjs")) return true;
  if (file.endsWith(".cjs")) return false;
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const description = join(directory, "package.json");
    if (existsSync(description)) {
      try {
        return JSON.parse(readFileSync(description, "utf8")).type === "module";
      } catch {
        return false;
      }
    }
    if (directory === dirname(directory)) return false;
  }
}
