//! The transport and the worker on a real RabbitMQ.

mod support {
    pub(crate) mod broker;
    pub(crate) mod handlers;
    pub(crate) mod proxy;
}

mod celery_amqp {
    mod consume;
    mod faults;
    mod publish;
    mod topology;
    mod work;
}
