// An ordinary Express program that knows nothing of functions: `npm start` serves it on port 3000.

import express from "express";

const app = express();

app.get("/", (request, response) => response.send("Hello, World!"));
app.get("/hello/:name", (request, response) => response.json({ message: `Hello, ${request.params.name}!` }));

app.listen(3000, () => console.log("listening on port 3000"));
