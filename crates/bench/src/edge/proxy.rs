//! What `wasmtime serve` does, with the peer's own crates as their documentation shows it: an instance of a component
//! of the world wasi:http/proxy for each request, in a task of its own, on the pooling allocator.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::serve::listen;

/// Makes a component of a core module that was built for the world in a WIT file.
pub(super) fn component(module: &[u8], wit: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(wit).with_context(|| format!("cannot read {}", wit.display()))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str(wit, &text)?;
    let world = resolve.select_world(&[package], Some("proxy"))?;
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoRequests,
    table: ResourceTable,
}

/// The guest asks nobody.
struct NoRequests;

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Serves a component.
pub(super) async fn serve(component: &Path) -> Result<SocketAddr> {
    let engine = engine()?;
    let component = Component::new(&engine, std::fs::read(component)?)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi_http::p2::add_to_linker_async(&mut linker)?;
    let proxy = Arc::new(ProxyPre::<State>::new(linker.instantiate_pre(&component)?)?);
    let (listener, address) = listen().await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Without it small responses may wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            let proxy = proxy.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(proxy.clone(), request));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(32 << 10);
                // How it ends is the client's affair.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

/// The settings of `bench instances`, and interruption by epochs, which a server with limits on time needs.
fn engine() -> Result<Engine> {
    let mut pooling = PoolingAllocationConfig::default();
    pooling.linear_memory_keep_resident(1 << 20).table_keep_resident(1 << 20);
    pooling.pagemap_scan(if PoolingAllocationConfig::is_pagemap_scan_available() { Enabled::Yes } else { Enabled::No });
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed).memory_init_cow(true).epoch_interruption(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    Ok(Engine::new(&config)?)
}

async fn answer(
    proxy: Arc<ProxyPre<State>>,
    request: Request<Incoming>,
) -> wasmtime::Result<Response<HyperOutgoingBody>> {
    let wasi = WasiCtx::builder().build();
    let state = State { wasi, http: WasiHttpCtx::new(), hooks: NoRequests, table: ResourceTable::new() };
    let mut store = Store::new(proxy.engine(), state);
    store.set_epoch_deadline(1 << 40);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let task = tokio::spawn(async move {
        let instance = proxy.instantiate_async(&mut store).await?;
        instance.wasi_http_incoming_handler().call_handle(store, request, out).await
    });
    match receiver.await {
        Ok(answered) => Ok(answered?),
        Err(_) => match task.await? {
            Ok(()) => wasmtime::bail!("the guest never answered"),
            Err(error) => Err(error),
        },
    }
}
