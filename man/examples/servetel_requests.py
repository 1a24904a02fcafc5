# SPDX-License-Identifier: MIT
"""The token for Python's requests, in nobody's arguments; without one no request is sent:

    session = requests.Session()
    session.auth = ServetelAuth()  # or of another account: ServetelAuth("--profile", "sales")
    session.get("https://api.servetel.in/v1/...").raise_for_status()

servetel-auth is asked at each request, so that the token is fresh for as long as the program runs. What is
answered 401 was not done (RFC 9110), so it is sent again, once, with another token.
"""
import functools
import subprocess

import requests


class ServetelAuth(requests.auth.AuthBase):
    def __init__(self, *options):
        self.options = options

    def ask(self, *arguments, say=""):
        """A failure is an exception, and servetel-auth has said on stderr why."""
        done = subprocess.run(["servetel-auth", *arguments, *self.options], input=say, stdout=subprocess.PIPE,
                              text=True, check=True)
        return done.stdout.strip()

    def __call__(self, request):
        token = self.ask("show")
        request.headers["Authorization"] = "Bearer " + token
        start = request.body.tell() if hasattr(request.body, "seek") else None
        request.register_hook("response", functools.partial(self.on_answer, token, start))
        return request

    def on_answer(self, token, start, response, **how):
        """A redirect to another host has lost the header, and gets no token by answering 401."""
        refused = response.request
        if response.status_code != 401 or refused.headers.get("Authorization") != "Bearer " + token:
            return response
        token = self.ask("refresh", "--quiet", "--rejected-stdin", "--print", say=token)
        if start is not None:
            refused.body.seek(start)
        elif not isinstance(refused.body, (str, bytes, type(None))):
            return response  # a stream, which cannot be read again
        response.content  # read to its end, so that the connection can be used again
        again = refused.copy()
        again.headers["Authorization"] = "Bearer " + token
        answer = response.connection.send(again, **how)
        answer.request = again
        answer.history.append(response)
        return answer
