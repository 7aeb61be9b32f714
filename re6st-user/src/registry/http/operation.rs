//! What can be asked over HTTP: each operation is declared once, and both its route and its description in the OpenAPI
//! document come from that declaration's types. So the document cannot be wrong about what is read and written.

use std::{future::Future, sync::Arc};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{self, MethodRouter},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{identity::Peer, problem::Problem};
use crate::registry::api::{Envelope, ErrorBody};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anybody.
    Anybody,
    /// A node, by its certificate.
    Node,
    /// A node also by a certificate that has expired or is revoked: to get another one.
    Holder,
    /// The operator, on the registry's own host.
    Operator,
}

/// What an operation is for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// Its name for generated clients.
    pub id: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Who may ask.
    pub who: Who,
}

/// What every operation is given besides what was sent.
#[derive(Clone, Debug)]
pub struct Context<S, C> {
    /// The server's state.
    pub state: Arc<S>,
    /// Who asks.
    pub caller: C,
}

/// A server whose operations these are.
pub trait Server: Send + Sync + 'static {
    /// Who asks, as far as the operations want to know.
    type Caller: Send;

    /// Finds out who asks, and refuses those who may not.
    fn identify(&self, peer: &Peer, who: Who) -> Result<Self::Caller, Problem>;
}

/// What an operation gives back.
pub trait Reply {
    /// The response.
    fn response(self) -> Response;
    /// The responses by their status, as OpenAPI describes them.
    fn describe(schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)>;
}

/// No input at all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// 200 with a JSON body.
#[derive(Debug)]
pub struct Found<T>(pub T);

/// 201 with a JSON body.
#[derive(Debug)]
pub struct Created<T>(pub T);

/// 204 without a body.
#[derive(Debug)]
pub struct Done;

/// 202 without a body: it will be done.
#[derive(Debug)]
pub struct Accepted;

/// 200 with a signed document.
#[derive(Debug)]
pub struct SignedDocument(pub Bytes);

/// 200 with the DER of a certificate revocation list (RFC 2585).
#[derive(Debug)]
pub struct X509Crl(pub Bytes);

fn json_content<T: JsonSchema>(schemas: &mut SchemaGenerator, description: &str) -> Value {
    let schema = schemas.subschema_for::<T>();
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

impl<T: Serialize + JsonSchema> Reply for Found<T> {
    fn response(self) -> Response {
        Json(self.0).into_response()
    }

    fn describe(schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        vec![(
            StatusCode::OK,
            json_content::<T>(schemas, "What was asked for"),
        )]
    }
}

impl<T: Serialize + JsonSchema> Reply for Created<T> {
    fn response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }

    fn describe(schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        vec![(
            StatusCode::CREATED,
            json_content::<T>(schemas, "What was made"),
        )]
    }
}

impl Reply for Done {
    fn response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }

    fn describe(_schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        vec![(StatusCode::NO_CONTENT, json!({ "description": "Done" }))]
    }
}

impl Reply for Accepted {
    fn response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }

    fn describe(_schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        vec![(
            StatusCode::ACCEPTED,
            json!({ "description": "It will be done" }),
        )]
    }
}

impl Reply for SignedDocument {
    fn response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }

    fn describe(schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        let document = json_content::<Envelope>(schemas, "A signed document (DSSE)");
        vec![(StatusCode::OK, document)]
    }
}

/// Something, or 204 if there is nothing new.
impl<T: Reply> Reply for Option<T> {
    fn response(self) -> Response {
        self.map_or_else(|| StatusCode::NO_CONTENT.into_response(), Reply::response)
    }

    fn describe(schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        let mut responses = T::describe(schemas);
        let nothing = json!({ "description": "There is nothing new" });
        responses.push((StatusCode::NO_CONTENT, nothing));
        responses
    }
}

impl Reply for X509Crl {
    fn response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/pkix-crl")], self.0).into_response()
    }

    fn describe(_schemas: &mut SchemaGenerator) -> Vec<(StatusCode, Value)> {
        let content = json!({ "application/pkix-crl": {} });
        let found = json!({ "description": "DER of an X.509 CRL", "content": content });
        vec![(StatusCode::OK, found)]
    }
}

/// Operations on their way to a [`Router`] and a document.
pub struct Operations<S> {
    router: Router<Arc<S>>,
    paths: Map<String, Value>,
    schemas: SchemaGenerator,
}

impl<S: Server> Operations<S> {
    /// A server without operations.
    pub fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            router: Router::new(),
            paths: Map::new(),
            schemas: settings.into_generator(),
        }
    }

    /// `GET` with a query.
    pub fn get<Q, R, F, Answer>(
        mut self,
        path: &'static str,
        purpose: Purpose,
        operation: F,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply + 'static,
        F: Fn(Context<S, S::Caller>, Q) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<R, Problem>> + Send,
    {
        let who = purpose.who;
        let route = routing::get(
            move |State(state): State<Arc<S>>, Extension(peer): Extension<Peer>, uri: Uri| async move {
                let ask = async {
                    let caller = state.identify(&peer, who)?;
                    let query = Query::<Q>::try_from_uri(&uri)
                        .map_err(|error| Problem::bad_request(error.body_text()))?;
                    operation(Context { state, caller }, query.0).await
                };
                respond(ask.await)
            },
        );
        let parameters = parameters::<Q>();
        self.describe::<R>(path, "get", purpose, json!({ "parameters": parameters }));
        self.route(path, route)
    }

    /// `POST` with a JSON body.
    pub fn post<B, R, F, Answer>(
        mut self,
        path: &'static str,
        purpose: Purpose,
        operation: F,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply + 'static,
        F: Fn(Context<S, S::Caller>, B) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<R, Problem>> + Send,
    {
        let who = purpose.who;
        let route = routing::post(
            move |State(state): State<Arc<S>>,
                  Extension(peer): Extension<Peer>,
                  uri: Uri,
                  headers: HeaderMap,
                  body: Bytes| async move {
                let ask = async {
                    let caller = state.identify(&peer, who)?;
                    if uri.query().is_some() {
                        let secrets = "this takes no query: what is in a URL is in logs";
                        return Err(Problem::bad_request(secrets));
                    }
                    let body = read_json(&headers, &body)?;
                    operation(Context { state, caller }, body).await
                };
                respond(ask.await)
            },
        );
        let schema = self.schemas.subschema_for::<B>();
        let content = json!({ "application/json": { "schema": schema } });
        let body = json!({ "requestBody": { "required": true, "content": content } });
        self.describe::<R>(path, "post", purpose, body);
        self.route(path, route)
    }

    fn route(mut self, path: &'static str, route: MethodRouter<Arc<S>>) -> Self {
        self.router = self.router.route(path, route);
        self
    }

    fn describe<R: Reply>(&mut self, path: &str, method: &str, purpose: Purpose, input: Value) {
        let mut responses = Map::new();
        for (status, response) in R::describe(&mut self.schemas) {
            responses.insert(status.as_str().to_owned(), response);
        }
        let problem = json_content::<ErrorBody>(&mut self.schemas, "Why not");
        responses.insert("default".to_owned(), problem);
        let mut operation = json!({
            "operationId": purpose.id,
            "summary": purpose.summary,
            "responses": responses,
        });
        if let (Value::Object(operation), Value::Object(input)) = (&mut operation, input) {
            operation.extend(input);
            if matches!(purpose.who, Who::Node | Who::Holder) {
                operation.insert("security".into(), json!([{ "nodeCertificate": [] }]));
            }
        }
        let entry = self.paths.entry(path.to_owned());
        if let Value::Object(methods) = entry.or_insert_with(|| json!({})) {
            methods.insert(method.to_owned(), operation);
        }
    }

    /// The OpenAPI document.
    pub fn document(&mut self, title: &str, description: &str) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": title,
                "description": description,
                "version": env!("CARGO_PKG_VERSION"),
            },
            "paths": self.paths,
            "components": {
                "schemas": self.schemas.take_definitions(true),
                "securitySchemes": {
                    "nodeCertificate": {
                        "type": "mutualTLS",
                        "description": "A certificate that this registry, or re6stnet's, issued to a node of the network",
                    },
                },
            },
        })
    }

    /// Serves the document as well.
    pub fn serve_document(self, path: &'static str, document: Value) -> Self {
        self.route(path, routing::get(async move || Json(document.clone())))
    }

    /// The routes; anything else is refused in the same form.
    pub fn router(self, state: Arc<S>) -> Router {
        self.router
            .fallback(async || {
                Problem::not_found(
                    "there is nothing at this path; /v1/openapi.json tells what there is",
                )
            })
            .method_not_allowed_fallback(async || {
                Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method-not-allowed",
                    "this path is not asked in this way; /v1/openapi.json tells how",
                )
            })
            .with_state(state)
    }
}

impl<S: Server> Default for Operations<S> {
    fn default() -> Self {
        Self::new()
    }
}

fn respond<R: Reply>(outcome: Result<R, Problem>) -> Response {
    match outcome {
        Ok(reply) => reply.response(),
        Err(problem) => problem.into_response(),
    }
}

fn read_json<B: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<B, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "expected a body of type application/json",
        ));
    }
    // serde would take the fields of a structure from an array as well
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_request("the body: expected a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

/// The fields of a query's type as OpenAPI's parameters.
fn parameters<Q: JsonSchema>() -> Vec<Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Q>();
    let required = schema.get("required").and_then(Value::as_array).cloned();
    let required = required.unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    let describe = |(name, schema): (&String, &Value)| {
        json!({
            "name": name,
            "in": "query",
            "required": required.iter().any(|field| field.as_str() == Some(name.as_str())),
            "schema": schema,
        })
    };
    properties
        .map(|properties| properties.iter().map(describe).collect())
        .unwrap_or_default()
}
