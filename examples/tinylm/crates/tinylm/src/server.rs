//! The HTTP server: completions of one model.

use std::future::IntoFuture;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::State;
use axum::http::{header, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::Router;
use clap::Parser;
use serde::Deserialize;
use serde_json::{json, Value};
use tinylm_core::{Device, Engine, Error, Generation, Result};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Serves a miniature language model over HTTP
#[derive(Parser)]
#[command(name = "tinylm-server", version)]
struct Cli {
    /// Directory of the model
    #[arg(short, long)]
    model: PathBuf,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on, 0 for any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// auto, cpu or cuda
    #[arg(long, default_value_t)]
    device: Device,
}

/// Completions waiting for the model, beyond which clients are told to come
/// back.
const QUEUE: usize = 64;

/// How long requests under way at a stop signal may take to end.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let (worker, thread) = Worker::start(&cli.model, cli.device)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Failure(format!("cannot start the server: {error}")))?;
    let result = runtime.block_on(serve(SocketAddr::new(cli.host, cli.port), worker));
    // Ends what is left of connections and with them the worker's last jobs.
    // The model has to be gone before the process exits: CUDA takes itself
    // down then, under a thread that still uses it.
    drop(runtime);
    if thread.join().is_err() {
        return Err(Error::Failure("the model's thread panicked".into()));
    }
    result
}

async fn serve(address: SocketAddr, worker: Worker) -> Result<()> {
    let cannot_listen = |error| Error::Failure(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    // Before anyone is told the address, so that no signal is missed.
    let stop = stop_signal()
        .map_err(|error| Error::Failure(format!("cannot wait for signals: {error}")))?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")
        .and_then(|()| out.flush())
        .map_err(|error| Error::Failure(format!("cannot write to stdout: {error}")))?;
    drop(out);

    let app = Router::new()
        .route(
            "/health",
            get(|| async { answer(StatusCode::OK, json!({"status": "ok"})) }),
        )
        .route("/v1/completions", post(complete))
        .with_state(worker);
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    stop.await;
    let _ = stopping.send(());
    match tokio::time::timeout(GRACE, server).await {
        Ok(Ok(Err(error))) => Err(Error::Failure(format!("the server failed: {error}"))),
        Ok(Err(error)) => Err(Error::Failure(format!("the server failed: {error}"))),
        // Whoever keeps a connection open for longer is cut off.
        Ok(Ok(Ok(()))) | Err(_) => Ok(()),
    }
}

/// Resolves when the process is asked to stop.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl std::future::Future<Output = ()>> {
    use tokio::signal::unix::{signal, SignalKind};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(std::future::poll_fn(move |context| {
        if interrupt.poll_recv(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        terminate.poll_recv(context).map(drop)
    }))
}

/// Resolves when the process is asked to stop.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl std::future::Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

struct Job {
    prompt: String,
    max_tokens: usize,
    reply: oneshot::Sender<Result<Generation>>,
}

/// The thread that owns the model, which one thread at a time can use.
#[derive(Clone)]
struct Worker {
    jobs: mpsc::Sender<Job>,
    device: String,
}

impl Worker {
    fn start(model: &Path, device: Device) -> Result<(Self, JoinHandle<()>)> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let (loaded, ready) = std::sync::mpsc::channel();
        let model = model.to_owned();
        // Loaded where it is used: the native model never changes threads.
        let thread = thread::spawn(move || {
            let mut engine = match Engine::load(&model, device) {
                Ok(engine) => engine,
                Err(error) => {
                    let _ = loaded.send(Err(error));
                    return;
                }
            };
            if let Some(notice) = engine.notice() {
                eprintln!("{notice}");
            }
            if loaded.send(Ok(engine.device().to_owned())).is_err() {
                return;
            }
            while let Some(job) = queue.blocking_recv() {
                // A client that has gone away gets no tokens computed for it.
                let reply = job.reply;
                let result = engine.generate(&job.prompt, job.max_tokens, |_| {
                    if reply.is_closed() {
                        return Err(Error::Request("the client went away".into()));
                    }
                    Ok(())
                });
                let _ = reply.send(result);
            }
        });
        let device = ready
            .recv()
            .map_err(|_| Error::Failure("loading the model ended unexpectedly".into()))??;
        Ok((Worker { jobs, device }, thread))
    }
}

#[derive(Deserialize)]
struct Completion {
    prompt: String,
    #[serde(default = "default_max_tokens")]
    max_tokens: usize,
}

fn default_max_tokens() -> usize {
    16
}

async fn complete(
    State(worker): State<Worker>,
    body: std::result::Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let Completion { prompt, max_tokens } = match serde_json::from_slice(&body) {
        Ok(completion) => completion,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, format!("invalid request: {error}")),
    };
    let (reply, result) = oneshot::channel();
    let job = Job {
        prompt,
        max_tokens,
        reply,
    };
    match worker.jobs.try_send(job) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests wait already",
            )
        }
        Err(mpsc::error::TrySendError::Closed(_)) => {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the model has stopped")
        }
    }
    match result.await {
        Ok(Ok(generation)) => answer(
            StatusCode::OK,
            json!({
                "text": generation.text,
                "tokens": generation.tokens.len(),
                "device": worker.device,
            }),
        ),
        Ok(Err(error @ Error::Request(_))) => refuse(StatusCode::BAD_REQUEST, error),
        Ok(Err(error)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the model has stopped"),
    }
}

fn refuse(status: StatusCode, problem: impl std::fmt::Display) -> Response {
    answer(status, json!({ "error": problem.to_string() }))
}

fn answer(status: StatusCode, body: Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}
