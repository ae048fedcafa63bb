// The smallest handler: what is measured is the way to it and back.

export const handler = async () => ({ message: "Hello, World!" });
