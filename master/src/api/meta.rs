//! `dm.meta.Meta`: a tiny replicated key-value space, linearizable through any master.
//!
//! Deduplicated by the state itself: a repeated request of a client gets its first answer and changes nothing.

use dm_proto::meta::{CasRequest, CasResponse, GetRequest, GetResponse, PutRequest, PutResponse, meta_server::Meta};
use dm_state::{
    Command, Rejection,
    command::{CasMeta, PutMeta},
};
use tonic::{Request, Response, Status};

use super::{Service, check_size, marked, no_leader};
use crate::{error::Error, forward::Route};

fn client(client: &str, seq: u64) -> Option<(String, u64)> {
    (!client.is_empty()).then(|| (client.to_owned(), seq))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[tonic::async_trait]
impl Meta for Service {
    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        check_size(&request)?;
        match self.route(&metadata).await? {
            Route::Here(leading) => {
                let command = Command::PutMeta(PutMeta { key: request.key, value: request.value.into_bytes() });
                let done = leading.cluster.propose_for(client(&request.client, request.seq), command).await;
                let done = done.map_err(|error| error.status())?;
                Ok(Response::new(PutResponse { revision: done.revision.0 }))
            }
            Route::There(leader) => self.meta_at(&leader.api_addr)?.put(marked(request)).await,
            Route::Nowhere { .. } => Err(no_leader()),
        }
    }

    async fn cas(&self, request: Request<CasRequest>) -> Result<Response<CasResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        check_size(&request)?;
        match self.route(&metadata).await? {
            Route::Here(leading) => {
                let key = request.key.clone();
                let command = Command::CasMeta(CasMeta {
                    key: request.key,
                    expect: request.expect.map(String::into_bytes),
                    value: request.value.clone().into_bytes(),
                });
                match leading.cluster.propose_for(client(&request.client, request.seq), command).await {
                    Ok(done) => Ok(Response::new(CasResponse {
                        swapped: true,
                        current: Some(request.value),
                        revision: done.revision.0,
                    })),
                    Err(Error::Rejected(Rejection::MetaDiffers { present })) => {
                        // the value that was in the way, unless it is gone by now: then its revision only
                        let state = leading.cluster.local();
                        let same = state.meta(&key).filter(|now| Some(now.revision) == present);
                        Ok(Response::new(CasResponse {
                            swapped: false,
                            current: same.map(|present| text(&present.value)),
                            revision: present.map_or(0, |revision| revision.0),
                        }))
                    }
                    Err(error) => Err(error.status()),
                }
            }
            Route::There(leader) => self.meta_at(&leader.api_addr)?.cas(marked(request)).await,
            Route::Nowhere { .. } => Err(no_leader()),
        }
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        match self.route(&metadata).await? {
            Route::Here(leading) => {
                let state = leading.read().await.map_err(|error| error.status())?;
                let present = state.meta(&request.key);
                Ok(Response::new(GetResponse {
                    value: present.map(|present| text(&present.value)),
                    revision: present.map_or(0, |present| present.revision.0),
                }))
            }
            Route::There(leader) => self.meta_at(&leader.api_addr)?.get(marked(request)).await,
            Route::Nowhere { .. } => Err(no_leader()),
        }
    }
}
