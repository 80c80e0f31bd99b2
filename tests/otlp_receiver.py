"""An OTLP receiver: takes the spans that OpenTelemetry's exporters send over HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class OtlpReceiver:
    """Listens at `url`, for the length of a `with` block.

    `spans` are those of all processes; `by_process` has them by what each calls itself.
    """

    def __init__(self) -> None:
        self.by_process: dict[str, list[Span]] = {}
        taken = self.by_process

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    (name,) = (
                        one.value.string_value
                        for one in sent.resource.attributes
                        if one.key == "service.name"
                    )
                    for scope in sent.scope_spans:
                        taken.setdefault(name, []).extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Span]:
        """The spans of all processes, each process's in their order."""
        return [span for spans in self.by_process.values() for span in spans]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
