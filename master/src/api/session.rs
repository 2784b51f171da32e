//! `Session.Attach`: at the leader a conversation, elsewhere one refusal that names the leader.

use dm_proto::session::{LeaderMessage, WorkerMessage, rejected::Reason, session_server::Session};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Service;
use crate::{
    forward::Route,
    leader::attach::{self, OUTBOX},
};

#[tonic::async_trait]
impl Session for Service {
    type AttachStream = ReceiverStream<Result<LeaderMessage, Status>>;

    async fn attach(&self, request: Request<Streaming<WorkerMessage>>) -> Result<Response<Self::AttachStream>, Status> {
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let refusal = match self.route(request.metadata()).await? {
            Route::Here(leading) => {
                let (context, inbox) = (self.context.clone(), request.into_inner());
                self.context.tasks.spawn("session", attach::serve(context, leading, inbox, outbox));
                return Ok(Response::new(ReceiverStream::new(queue)));
            }
            Route::There(leader) => {
                attach::rejected(&self.context, Reason::NotLeader, format!("the leader is {}", leader.name))
            }
            Route::Nowhere { .. } => attach::rejected(&self.context, Reason::NotReady, "no leader"),
        };
        // the queue was just made and has room
        let _ = outbox.try_send(Ok(refusal));
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}
