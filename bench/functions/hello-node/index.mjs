// The smallest handler: what is measured is the way to it and back. `/hold` keeps its instance busy.

export const handler = async (event) => {
  if (event.rawPath === "/hold") await new Promise((resolve) => setTimeout(resolve, 150));
  return { message: "Hello, World!" };
};
