// Waits for 100 ms, as if for a database.

export const handler = async () => {
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { message: "Hello, World!" };
};
