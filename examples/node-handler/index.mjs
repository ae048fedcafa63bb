// A Lambda handler in JavaScript: greets whoever the event or the query names.

export const handler = async (event, context) => {
  const name = event.name ?? event.queryStringParameters?.name ?? "World";
  console.log("greeting %s, %d ms left", name, context.getRemainingTimeInMillis());
  return { message: `Hello, ${name}!` };
};
