// The smallest worker, with the same answer as bench/functions/hello-node.

export default {
  fetch() {
    return new Response('{"message":"Hello, World!"}', { headers: { "content-type": "application/json" } });
  },
};
